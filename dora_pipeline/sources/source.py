"""What a source that is pulled over HTTP declares. Its records are kept as they came, in day files (`day_files.py`)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.event_rules import Normalized

# `gone`: the source does not know it any more. `no_access`: it refuses to show it to us.
RecordState = Literal["present", "gone", "no_access"]

PULLED_SCHEMA = {
    "record_id": pl.String(),
    "occurred_at": pl.Datetime("us", "UTC"),
    "fetched_at": pl.Datetime("us", "UTC"),
    "state": pl.String(),
    "body": pl.String(),
}


@dataclass(frozen=True)
class PulledRecord:
    """A record as the source told it: its id there, the instant (UTC) whose day it belongs to, and its JSON."""

    record_id: str
    occurred_at: datetime
    body: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What one delivery of a webhook told of a record.

    `occurred_at` (UTC) is that of the record, for its day where nothing else is known of it; `told` is for the source's
    `normalize`.
    """

    delivery_id: str
    record_id: str
    occurred_at: datetime
    told: dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """What deliveries told: changes of records, and as rows of LandedRejects what could not be used of them."""

    changes: list[Change]
    rejected: pl.DataFrame


@dataclass(frozen=True)
class Webhook:
    """How the deliveries of a source's webhooks are read: a frame with the columns of RECORD_SCHEMA (`raw.py`).

    `token` is the environment variable without which the source cannot be pulled.
    """

    token: str
    changes: Callable[[pl.DataFrame, Settings], Changes]


class Connection(Protocol):
    """An open connection to a source. Every method raises SourceError, and returns whole answers or none."""

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """Every record that occurred at `first` or later and before `last` (UTC), each once.

        Records that were created then but occurred before may be among them, and those without a readable time, at
        the oldest instant there is.
        """

    def fetch_open(self) -> list[PulledRecord]:
        """Every record that is open now, whenever it occurred; none where the source cannot tell."""

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """One record as it is now."""

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True)
class PullSource:
    """The declaration of a source: its name, how it is connected to, and what its records become.

    `connect` takes the settings and a function that is told what the user should know (a wait for a rate limit); it
    raises ConfigError where a secret is missing. `normalize` takes a frame with the columns of PULLED_SCHEMA (`body` is
    JSON text; what webhooks told of the record is its list `deliveries`), and gives rows of LandedDeployments or
    LandedFailures and rejects. A record that is `gone` or out of `no_access` has the last body that was seen. Records
    of `context_days` before and after a day are given with it, for sources whose records speak of each other; rows of
    them are not taken from there.
    """

    name: str
    connect: Callable[[Settings, Callable[[str], None]], Connection]
    normalize: Callable[[pl.DataFrame, Settings, Catalog], Normalized]
    context_days: int = 0
    webhook: Webhook | None = None
