"""What questions to the dashboard take: wall and processor seconds, and the memory of its process.

    python benchmarks/dashboard.py [--deployments N] [--services N] [--wait SECONDS] [--folder FOLDER]

Fills a warehouse as `figures.py` does, starts `dora dashboard` on it, and asks the default page twice and 20 others.
The publication is opened ahead of the first question, or by it without `--wait`. `--folder` keeps the warehouse, and
takes the one that is there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from figures import filled
from stopwatch import peak_mebibytes, used_by

_QUESTIONS = (
    "",
    "period=90d",
    "period=7d",
    "period=30d&compare=year",
    "period=90d&by=team",
    "period=90d&env=staging",
    "period=quarter&sort=restore",
    "period=year&compare=year",
    "period=365d",
    "period=365d&grain=week&by=team",
    "period=365d&grain=day",
    "from=2023-01-02&compare=none",
    "from=2023-01-02&compare=none&grain=quarter&by=team",
    "team=t3",
    "team=t3&period=365d&compare=year",
    "service=s42",
    "service=s42&from=2023-01-02&compare=none",
    "tag=tier:3&period=90d",
    "tag=region:1&period=365d",
    "repository=example.com%2Forg%2Fapp&period=30d",
    "source=deployment_event_api&period=90d",
    "source=failure_event_api&period=365d",
)


def main() -> None:
    """Print a row for each question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deployments", type=int, default=1_000_000)
    parser.add_argument("--services", type=int, default=5_000)
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "warehouse.duckdb").exists():
            folder.mkdir(parents=True, exist_ok=True)
            filled(folder / "warehouse.duckdb", options.deployments, options.services).close()
        command = [sys.executable, "-m", "dora_pipeline.cli", "dashboard", "--port", "0"]
        environment = {**os.environ, "DORA_HOME": str(folder)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().split()[-1]
                time.sleep(options.wait)
                _ask(address, process.pid)
            finally:
                process.terminate()


def _ask(address: str, process: int) -> None:
    print("| question | wall s | processor s | kB | peak MiB |\n|---|---|---|---|---|")
    walls = []
    for question in _QUESTIONS:
        began, used = time.perf_counter(), used_by(process)
        answer = requests.get(f"{address}/?{question}", timeout=120)
        answer.raise_for_status()
        wall = time.perf_counter() - began
        walls.append(wall)
        cost = used_by(process) - used
        size = len(answer.content) / 1000
        print(f"| {question} | {wall:.2f} | {cost:.2f} | {size:.0f} | {peak_mebibytes(process)} |", flush=True)
    walls = sorted(walls[2:])
    print(
        f"\nOf 20 more questions: median {walls[9]:.2f} s, 95th percentile {walls[18]:.2f} s, longest {walls[-1]:.2f} s"
    )


if __name__ == "__main__":
    main()
