"""What it costs to put each publication into `engine.storage` as Parquet files, beside the copy of publishing.

    python benchmarks/parquet_files.py [--deployments 100000] [--services 5000] [--seed N] [--folder F]
        [--storage PLACE] [--delta] [--json FILE]

The world is that of `first_load.py`. Processor seconds of this process are of a whole run, of the copy that is put
where people query it, and of the files; MiB are of the copy and of the files that were written. PLACE is a folder, or
`s3://…` with what its environment has to say; without it a temporary folder. With `--delta` there are logs of Delta
Lake, whose seconds have a column of their own.
"""

import argparse
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from first_load import prepare
from results import Results, add_json_option
from stopwatch import Stages

from dora_pipeline.config import Home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection
from dora_pipeline.warehouse.storage.places import open_place
from dora_pipeline.warehouse.storage.stored_state import read_state

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_STAGES = {
    "copy": ("dora_pipeline.warehouse.writer.publish",),
    "files": ("dora_pipeline.warehouse.writer.publish_generation",),
}
_LOGS = ("dora_pipeline.warehouse.storage.delta_tables.commit_table",)
_COLUMNS = {
    "run": "",
    "run s": ".2f",
    "copy s": ".2f",
    "files s": ".2f",
    "logs s": ".2f",
    "files ÷ copy": ".1f",
    "copy MiB": ",.1f",
    "files written": ",",
    "MiB written": ",.1f",
    "files in all": ",",
    "MiB in all": ",.1f",
}


def main() -> None:
    """Print a row for a first load, a run with nothing new, and the newest day."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=100_000)
    parser.add_argument("--services", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--storage")
    parser.add_argument("--delta", action="store_true")
    add_json_option(parser)
    options = parser.parse_args()
    options.both = False
    results = Results(options)
    stages = Stages({**_STAGES, "logs": _LOGS if options.delta else ()})
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        options.folder = options.folder or Path(temporary)
        prepare(options)
        home = Home(Path(temporary) / "home")
        exports = home.path / "exports" / "apm"
        exports.mkdir(parents=True)
        shutil.copytree(options.folder / "intake", home.intake)
        storage = options.storage or str(Path(temporary) / "storage")
        if not options.storage:
            Path(storage).mkdir()
        engine = {"storage": storage, "delta": options.delta}
        home.settings_file.write_text(json.dumps({"engine": engine}), encoding="utf-8")
        append_selection(home, "deployment", ["apm_deployment_tracking"], _LONG_AGO)
        append_selection(home, "failure", ["failure_event_api"], _LONG_AGO)
        shutil.copy(options.folder / "sightings.parquet", exports)
        results.table(f"{options.deployments:,} deployments", _COLUMNS)
        known: dict[str, int] = {}
        for title in ("first load", "nothing new", "newest day"):
            if title == "newest day":
                shutil.copy(options.folder / "newest.parquet", exports)
            with stages.measured() as seconds:
                run(home)
            files = _files(storage)
            written = [size for path, size in files.items() if path not in known]
            results.row(
                title,
                sum(seconds.values()),
                seconds["copy"],
                seconds["files"],
                seconds["logs"],
                seconds["files"] / seconds["copy"],
                home.warehouse.stat().st_size / 2**20,
                len(written),
                sum(written) / 2**20,
                len(files),
                sum(files.values()) / 2**20,
            )
            known = files
    results.write()


def _files(storage: str) -> dict[str, int]:
    """The bytes of the files of the newest state, by their paths."""
    state = read_state(open_place(storage))
    return {file.path: file.bytes for files in state.tables.values() for file in files} if state else {}


if __name__ == "__main__":
    main()
