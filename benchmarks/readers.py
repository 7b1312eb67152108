"""How often readers can read, and what they see, while runs, rebuilds and the intake go on.

    PYTHONPATH=. python benchmarks/readers.py [--seconds N]

Ten readers of a home with the sample, one of them with an open transaction. Ends with 1 where a reader met an error or
counts that do not agree.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.busy_homes import read_while_busy


def main() -> int:
    """Print a line for each reader, and what was done meanwhile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        prepare_demo(home, Silence())
        run(home)
        until = time.monotonic() + options.seconds
        seen, work = read_while_busy(home, lambda work: time.monotonic() >= until)
    print("| reader | readings | states | rows that disagree | errors |\n|---|---|---|---|---|")
    for number, reader in enumerate(seen):
        kind = "one transaction" if number == 0 else f"reopens {number}"
        print(f"| {kind} | {reader.readings} | {reader.states} | {reader.differences} | {len(reader.errors)} |")
    print(f"meanwhile: {work.runs} runs, {work.events} events stored, errors: {work.errors or 'none'}")
    return 1 if work.errors or any(reader.errors or reader.differences for reader in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
