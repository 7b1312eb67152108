"""What it costs to pull a year of PagerDuty incidents, and to pull it again.

    python benchmarks/pulled_year.py [--incidents 20000]

A fake PagerDuty serves in this process; each run is a process of its own, so that its peak memory is its own. The floor
is the time that the server was busy with the requests of the run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dora_pipeline.config import Home
from dora_pipeline.selection import append_selection
from dora_pipeline.warehouse.reader import open_reader
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident, written
from dora_pipeline_tests.vendors.server import FakeVendor

TOKEN = "a-token-of-a-benchmark"
RUN = (
    "import resource, sys; from dora_pipeline.config import default_home; from dora_pipeline.pipeline.runs import run; "
    "run(default_home()); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)


class TimedVendor(FakeVendor):
    """A vendor that adds up how long it was busy."""

    busy_seconds = 0.0

    def _serve(self, handler: object) -> None:
        began = time.perf_counter()
        super()._serve(handler)  # type: ignore[arg-type]
        self.busy_seconds += time.perf_counter() - began


def main() -> None:
    """Print a row for the first run and one for each run after it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--incidents", type=int, default=20_000)
    count = parser.parse_args().incidents
    now = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory() as folder, TimedVendor() as vendor:
        account = FakePagerDuty(vendor, TOKEN)
        for number in range(count):
            began = now - timedelta(days=365) * (1 - number / count) + timedelta(minutes=1)
            ended = began + timedelta(minutes=30)
            account.add(incident(number, written(began), written(ended) if number % 1000 and ended < now else None))
        home = Home(Path(folder) / "home")
        home.path.mkdir()
        home.settings_file.write_text(f"sources: {{pagerduty: {{api_url: '{vendor.url}'}}}}\n", encoding="utf-8")
        append_selection(home, "failure", ["pagerduty"], now - timedelta(days=366))
        print("| run | requests | seconds | server busy s (floor) | peak MiB | failures in core |")
        print("|---|---|---|---|---|---|")
        for name in ("first", "again", "once more"):
            print(measured(name, vendor, home), flush=True)


def measured(name: str, vendor: TimedVendor, home: Home) -> str:
    """The figures of one run as a row of the table."""
    vendor.asked.clear()
    vendor.busy_seconds = 0.0
    environment = {**os.environ, "DORA_HOME": str(home.path), "PAGERDUTY_API_TOKEN": TOKEN}
    began = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", RUN], env=environment, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    with open_reader(home) as connection:
        failures = connection.execute("SELECT COUNT(*) FROM core.failures").fetchall()[0][0]
    return (
        f"| {name} | {len(vendor.asked)} | {seconds:.1f} | {vendor.busy_seconds:.1f} | {float(told.stdout):.0f} | "
        f"{failures:,} |"
    )


if __name__ == "__main__":
    main()
