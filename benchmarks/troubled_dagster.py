"""Whether Dagster survives a full disk, a home that cannot be written, and a clock that is set back.

    PYTHONPATH=. python benchmarks/troubled_dagster.py [--first-year YEAR] [disk] [mode] [clock] [restart]

As root on Linux with a C compiler. Webserver and daemon run on a home with the sample, and are started again when they
end. While a backfill of all days goes on, for a minute each time and three times over: the home's file system has no
room (disk), or nothing in the home can be made, removed or opened for writing (mode). Or, once and for good, the clock
of all processes goes back an hour (clock); an event that is sent then must be loaded in the end, which takes over an
hour. Or the same, but the daemon is started again a minute after that, and only the backfill must end (restart). The
times of files do not move.

Afterwards every day that Dagster calls materialized must have its rows; the days that it calls failed or missing are
backfilled again, as an operator would; then all days must be materialized, and the tables those of an undisturbed run.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.dagster_twins import disagreeing, recovers, settle, state, twins
from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.dagster_servers import ENDED, Dagster, Units
from dora_pipeline_tests.waiting import eventually

_TROUBLES = ("disk", "mode", "clock", "restart")
_TIMES = 3
_SECONDS = 60
# Dagster waits until the clock has caught up.
_BACK = 3_600
_DISK_SIZE = "1g"
_BLOCK = 4096
_CLOCK = Path(__file__).with_name("moved_clock.c")


def main() -> int:
    """Print what happened under each trouble; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("troubles", nargs="*", choices=_TROUBLES)
    parser.add_argument("--first-year", type=int, default=2025)
    options = parser.parse_args()
    lost = [trouble for trouble in options.troubles or _TROUBLES if not survives(trouble, options.first_year)]
    print(f"lost something: {', '.join(lost)}" if lost else "nothing lost")
    return 1 if lost else 0


def survives(trouble: str, first_year: int) -> bool:
    """Trouble a home in a file system of its own, and compare."""
    with tempfile.TemporaryDirectory() as name, mounted(Path(name) / "disk") as disk:
        folder = Path(name)
        undisturbed, home = twins(folder, first_year, disk)
        clock = folder / "clock"
        clock.write_text("0", encoding="ascii")
        has_clock = trouble in ("clock", "restart")
        with Units(home.path, folder / "logs", environment=moved_by(clock) if has_clock else {}) as units:
            page = units.page
            days = page.days()
            print(f"{trouble}: {len(days)} days", flush=True)
            current = page.backfill(days)
            if has_clock:
                set_back(units, current, clock, restarts=trouble == "restart")
                if trouble == "clock":
                    send_late(home, undisturbed)
            else:
                for _ in range(_TIMES):
                    held = full(disk) if trouble == "disk" else immutable(home.path)
                    current = troubled(page, current, days, held, home)
            eventually(page.is_ready, "page and daemon after the trouble", 300)
            return recovers(page, current, days, home, undisturbed)


def troubled(page: Dagster, current: str, days: list[str], held: AbstractContextManager[None], home: Home) -> str:
    """A minute of trouble, a few seconds after a run has begun; the backfill that went on."""
    if state(page, current) in ENDED:
        current = page.backfill(days)
    await_run(page)
    with held:
        time.sleep(_SECONDS)
        print(f"in trouble for {_SECONDS} s; readers see {disagreeing(home)} rows that disagree", flush=True)
    return current


def set_back(units: Units, current: str, clock: Path, *, restarts: bool) -> None:
    """An hour back in the middle of a backfill, until that has ended."""
    await_run(units.page)
    clock.write_text(f"-{_BACK}", encoding="ascii")
    began = time.monotonic()
    if restarts:
        time.sleep(_SECONDS)
        units.kill("daemon", random.Random())
    settle(units.page, current, _BACK + 1_800)
    print(f"the backfill ended {time.monotonic() - began:.0f} s after the clock went back", flush=True)


def send_late(home: Home, undisturbed: Home) -> None:
    """Send an event, and wait until it is loaded."""
    # So old that it is no event of the future for any clock here.
    moment = datetime.now(UTC) - timedelta(hours=3)
    for one in (home, undisturbed):
        with EventStore.at(one) as store:
            told = {"service": "late", "started_at": str(moment), "finished_at": str(moment), "env": "production"}
            store.append("deployment", told, event_id="late", received_at=moment)
    began = time.monotonic()
    run(undisturbed)
    eventually(lambda: has_late_event(home), "the event that was sent after the clock went back", 5_400)
    print(f"an event sent then was loaded after {time.monotonic() - began:.0f} s", flush=True)


def await_run(page: Dagster) -> None:
    """Until a run has been going on for some seconds."""
    eventually(lambda: any(one["status"] == "STARTED" for one in page.runs()), "a run", 180)
    time.sleep(8)


def has_late_event(home: Home) -> bool:
    """Whether the event that was sent late is in the published warehouse."""
    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        return bool(connection.execute("SELECT 1 FROM core.deployments WHERE service = 'late'").fetchall())


def moved_by(clock: Path) -> dict[str, str]:
    """The environment of processes whose wall clock is moved by the seconds in the file."""
    library = clock.with_suffix(".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, _CLOCK], check=True)
    return {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(clock)}


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_SIZE}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """A file system without a free block: what is freed is taken at once."""
    is_over = threading.Event()
    ballast = disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            while not is_over.wait(0.05):
                with suppress(OSError):
                    while file.write(bytes(_BLOCK)):
                        pass

    filler = threading.Thread(target=fill)
    filler.start()
    try:
        yield
    finally:
        is_over.set()
        filler.join()
        ballast.unlink()


@contextmanager
def immutable(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be made, removed or opened for writing."""
    # Files go while it walks.
    subprocess.run(["chattr", "-R", "-f", "+i", folder], check=False)
    try:
        with suppress(PermissionError):
            (folder / "probe").touch()
            raise RuntimeError(f"{folder} can still be written: chattr +i does not work here")
        yield
    finally:
        subprocess.run(["chattr", "-R", "-f", "-i", folder], check=False)


if __name__ == "__main__":
    sys.exit(main())
