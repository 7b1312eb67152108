"""What a home with many export files of equal size costs: a first run, and one with nothing new.

    python benchmarks/many_exports.py [--files 1000 10000] [--folder FOLDER] [--json FILE]

Each file holds three sightings of a version of its own. Figures are of processors, in this process; of runs with
nothing new and of yardsticks the least of several in turn. The yardsticks are `stat` of each file, and a run with
nothing new of a home with one file: the last column is what a run with nothing new takes beyond that, as a multiple of
the first.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from results import Results, add_json_option

from dora_pipeline.config import Home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection

_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_SERVICES = 200
_TIMES = 20
COLUMNS = {
    "files": ",",
    "first run s": ".2f",
    "ms a file": ".2f",
    "nothing new s": ".2f",
    "of one file s": ".2f",
    "bare stat s": ".3f",
    "(nothing new − of one file) ÷ stat": ".1f",
}


def main() -> None:
    """Print a row for each number of files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--folder", type=Path)
    add_json_option(parser)
    options = parser.parse_args()
    results = Results(options)
    results.table("export files of equal size, processor seconds", COLUMNS)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        alone = home_of(Path(folder) / "alone", 1)
        run(alone)
        for files in options.files:
            home = home_of(Path(folder) / str(files), files)
            first = processor_seconds(lambda home=home: run(home))
            acts = (
                lambda: run(alone),
                lambda home=home: run(home),
                lambda home=home: [os.stat(entry.path) for entry in os.scandir(_exports(home))],
            )
            # In turn: a machine with other work is faster at one moment than at the next.
            rounds = [[processor_seconds(act) for act in acts] for _ in range(_TIMES)]
            of_one, nothing_new, bare = map(min, zip(*rounds, strict=True))
            beyond = (nothing_new - of_one) / bare
            results.row(files, first, first / files * 1_000, nothing_new, of_one, bare, beyond)
    results.write()


def home_of(folder: Path, files: int) -> Home:
    """A home with so many exports."""
    home = Home(folder)
    _exports(home).mkdir(parents=True)
    for number in range(files):
        service, version = f"service-{number % _SERVICES:03}", f"v{number:07}"
        seen = [_FIRST + timedelta(minutes=7 * number, seconds=part) for part in range(3)]
        lines = [
            json.dumps({"timestamp": moment.isoformat(), "service": service, "env": "prod", "version": version})
            for moment in seen
        ]
        (_exports(home) / f"{number:07}.jsonl").write_text("\n".join(lines) + "\n", encoding="ascii")
    append_selection(home, "deployment", ["apm_deployment_tracking"], _FIRST)
    return home


def _exports(home: Home) -> Path:
    return home.path / "exports" / "apm"


def processor_seconds(act: Callable[[], object]) -> float:
    """What a call takes."""
    began = time.process_time()
    act()
    return time.process_time() - began


if __name__ == "__main__":
    main()
