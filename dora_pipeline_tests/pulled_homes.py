"""A home that pulls from vendors on loopback, and incidents that happened some days ago."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from gzip import decompress
from pathlib import Path
from typing import Any

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident, written
from dora_pipeline_tests.vendors.server import Asked, FakeVendor

TOKEN = "u+planted/Token=0815-a8f3c1d97e"
# Noon of today or yesterday, so that minutes before and after it are of its day and not in the future.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def ago(days: float, minutes: float = 0) -> str:
    """Some days before NOON, and minutes after that, as PagerDuty writes it."""
    return written(NOON - timedelta(days=days) + timedelta(minutes=minutes))


def day(days: float, minutes: float = 0) -> date:
    """The day of `ago`."""
    return datetime.fromisoformat(ago(days, minutes)).date()


def happened(number: int, days: float, minutes: float | None = 30, **told: Any) -> dict[str, Any]:
    """Incident `Q<number>`, that began some days ago and took some minutes; open where they are None."""
    return incident(number, ago(days), None if minutes is None else ago(days, minutes), **told)


@dataclass(frozen=True)
class Account:
    """A PagerDuty account behind its server."""

    vendor: FakeVendor
    pagerduty: FakePagerDuty

    def add(self, *incidents: dict[str, Any]) -> None:
        """Add incidents, or put them in the place of those with their ids."""
        self.pagerduty.add(*incidents)

    def prepare(self, home: TestHome, days: float, *others: str) -> TestHome:
        """Let a home pull from the account what happened since some days ago."""
        home.settings(sources={"pagerduty": {"api_url": self.vendor.url}})
        home.select("failure", "pagerduty", *others, at=NOON - timedelta(days=days))
        return home

    def asked(self) -> list[Asked]:
        """The requests since this was called the last time."""
        asked, self.vendor.asked[:] = list(self.vendor.asked), []
        return asked


def windows(asked: list[Asked]) -> list[tuple[str, str]]:
    """The windows that were asked for, of first pages."""
    return [
        (str(request.first("since")), str(request.first("until")))
        for request in asked
        if request.first("since") and request.first("offset") == "0"
    ]


def day_files(home: TestHome, source: str = "pagerduty") -> dict[str, list[str]]:
    """The ids that each day file of the raw layer holds, by day."""
    return {
        path.name.removesuffix(".jsonl.gz"): [
            json.loads(line)["record_id"] for line in decompress(path.read_bytes()).splitlines()
        ]
        for path in sorted((home.home.raw / source).glob("????-??-??.jsonl.gz"))
    }


def stamps(home: TestHome) -> dict[str, tuple[int, int]]:
    """Inode and time of change of each day file."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in home.home.raw.glob("*/*.jsonl.gz")}


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, unpacked."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield path, content
            if path.suffix == ".gz":
                yield path, decompress(content)
