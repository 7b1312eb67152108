"""What commands cost before they do anything, and what a run of a home with two events does.

    python benchmarks/start_up.py [--times N] [--json FILE]

Starts each command N times as a process of its own, and runs a home N times in this process: at first, with one more
deployment, and with nothing new. The yardsticks are a bare `python -c pass` and a bare DuckDB connection as processes
of the same call. Of all times the least counts, since other work on the machine can only add to it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from results import Results, add_json_option

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection

# Wall and processor time in seconds.
Cost = tuple[float, float]

_DORA = (sys.executable, "-m", "dora_pipeline.cli")
_PYTHON, _DUCKDB = "python -c pass", "a connection of DuckDB"
_PROCESSES = {
    _PYTHON: (sys.executable, "-c", "pass"),
    _DUCKDB: (sys.executable, "-c", "import duckdb; duckdb.connect().execute('SELECT 1').fetchall()"),
    "dora --help": (*_DORA, "--help"),
    "dora sql": (*_DORA, "sql", "SELECT 1"),
    "dora sources": (*_DORA, "sources"),
    "dora run, nothing new": (*_DORA, "run"),
}


def main() -> None:
    """Print a row for each command and each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [runs_of(Home(Path(folder) / str(number))) for number in range(options.times)]
        home = Home(Path(folder) / "0")
        found = {name: least([of_process(command, home) for _ in runs]) for name, command in _PROCESSES.items()}
    found |= {name: least([costs[name] for costs in runs]) for name in runs[0]}
    results = Results(options)
    results.table(f"the least of {options.times}", COLUMNS)
    for name, (wall, processor) in found.items():
        results.row(name, wall, processor, *(processor / found[yardstick][1] for yardstick in (_PYTHON, _DUCKDB)))
    results.write()


COLUMNS = {"": "", "wall s": ".2f", "processor s": ".2f", "÷ python": ".1f", "÷ DuckDB": ".1f"}


def runs_of(home: Home) -> dict[str, Cost]:
    """What the runs of a new home cost."""
    home.path.mkdir()
    append_selection(home, "deployment", ["deployment_event_api"], datetime(2024, 1, 1, tzinfo=UTC))
    append_selection(home, "failure", ["failure_event_api"], datetime(2024, 1, 1, tzinfo=UTC))
    with EventStore.at(home) as store:
        deploy(store, 9)
        started_at = datetime(2024, 5, 6, 10, tzinfo=UTC)
        failure = {"services": ["shop"], "env": "prod", "started_at": started_at.isoformat()}
        store.append("failure", failure, received_at=started_at)
        costs = {"a first run": cost(lambda: run(home))}
        deploy(store, 11)
    return costs | {
        "a run with one more deployment": cost(lambda: run(home)),
        "a run with nothing new": cost(lambda: run(home)),
    }


def deploy(store: EventStore, hour: int) -> None:
    """Send a deployment."""
    moment = datetime(2024, 5, 6, hour, tzinfo=UTC)
    times = {"started_at": moment.isoformat(), "finished_at": moment.isoformat()}
    store.append("deployment", {"service": "shop", "env": "prod", **times}, received_at=moment)


def cost(act: Callable[[], object]) -> Cost:
    """What a call costs."""
    wall, processor = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - processor


def of_process(command: Sequence[str], home: Home) -> Cost:
    """What a command costs as a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, "DORA_HOME": str(home.path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def least(costs: Sequence[Cost]) -> Cost:
    """The least wall time and the least processor time of some."""
    return min(wall for wall, _ in costs), min(processor for _, processor in costs)


if __name__ == "__main__":
    main()
