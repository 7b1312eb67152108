"""What a first load of very many deployments costs by each door, and what proving it costs.

    python benchmarks/large_loads.py [--deployments 300000] [--folder FOLDER]

The doors are an export (Parquet), the intake's store, and a Datadog on loopback. Each run is a process of its own;
processor seconds are its own. The proof is `warehouse/accounts.py`, which every publication waits for.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from dora_pipeline_tests import large_homes
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY

_RUN = """
import resource
from dora_pipeline.config import default_home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.warehouse.accounts import discrepancies
from dora_pipeline.warehouse.reader import open_reader

def seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

began = seconds()
run(default_home())
loaded = seconds()
with open_reader(default_home()) as connection:
    opened = seconds()
    assert discrepancies(connection) == []
    proven = seconds()
    counted = connection.execute("SELECT COUNT(*), (SELECT SUM(deployments) FROM metrics.daily) FROM core.deployments")
    print(loaded - began, proven - opened, *counted.fetchall()[0])
"""
_Door = Callable[[TestHome, int], AbstractContextManager[None]]
_DOORS: dict[str, _Door] = {
    "export": lambda home, count: nullcontext(large_homes.drop_export(home, count)),
    "intake": lambda home, count: nullcontext(large_homes.send(home, count)),
    "pulled": large_homes.pulling,
}


def main() -> None:
    """Print a row for each door; ends with 1 where a deployment is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deployments", type=int, default=300_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print("| door | deployments | in core | in metrics.daily | run cpu s | proof cpu s | proof / run |")
    print("|---|---|---|---|---|---|---|", flush=True)
    is_whole = True
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, door in _DOORS.items():
            home = TestHome(Path(folder) / name)
            with door(home, options.deployments):
                run_seconds, proof_seconds, core, metrics = measured(home)
            is_whole = is_whole and core == metrics == options.deployments
            counts = f"{options.deployments:,} | {core:,} | {metrics:,}"
            costs = f"{run_seconds:.1f} | {proof_seconds:.2f} | {proof_seconds / run_seconds:.1%}"
            print(f"| {name} | {counts} | {costs} |", flush=True)
    sys.exit(0 if is_whole else 1)


def measured(home: TestHome) -> tuple[float, float, int, int]:
    """Processor seconds of the run and of the proof, deployments in core and in metrics.daily."""
    environment = {**os.environ, "DORA_HOME": str(home.home.path), "DD_API_KEY": API_KEY, "DD_APP_KEY": APP_KEY}
    told = subprocess.run([sys.executable, "-c", _RUN], env=environment, check=True, capture_output=True, text=True)
    # DuckDB shows its progress before that to a script that is no file.
    run_seconds, proof_seconds, core, metrics = told.stdout.splitlines()[-1].split()
    return float(run_seconds), float(proof_seconds), int(core), int(metrics)


if __name__ == "__main__":
    main()
