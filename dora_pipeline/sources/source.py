"""What a source is: one declaration (`Source`), from which the rest of the program derives.

Who may be selected, the settings and the commented `dora.yaml`, the secrets, Dagster's assets and lineage, the command
`dora sources` and the README's table come from the declarations in `registry.py`. What a source pulls is kept as it
came, in day files (`day_files.py`), so that a mended normalizer never needs the network again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol

from dora_pipeline.config import SectionType, Settings, secrets
from dora_pipeline.identifiers import EventType

if TYPE_CHECKING:
    import polars as pl

    from dora_pipeline.catalog import Catalog

# `gone`: the source does not know it any more. `no_access`: it refuses to show it to us.
RecordState = Literal["present", "gone", "no_access"]
# Tells the user what to know meanwhile, such as a wait for a rate limit.
Note = Callable[[str], None]


@dataclass(frozen=True)
class PulledRecord:
    """A record as it came: its id at the source, the instant (UTC) whose day it belongs to, and its JSON."""

    record_id: str
    occurred_at: datetime
    body: dict[str, Any]


@dataclass(frozen=True)
class RecordChange:
    """What one delivery of a webhook says of a record.

    `occurred_at` (UTC) is that of the record, for its day where nothing else is known of it; `body` is for the source's
    `normalize`.
    """

    delivery_id: str
    record_id: str
    occurred_at: datetime
    body: dict[str, Any]


@dataclass(frozen=True)
class RecordChanges:
    """What deliveries say: changes of records, and as rows of LandedRejects what could not be used of them."""

    changes: list[RecordChange]
    rejected: "pl.DataFrame"


@dataclass(frozen=True)
class Normalized:
    """What records became: rows of the events' landing table, and rejects; both without the column `input` where
    records have none.

    `events` has the columns of LandedDeployments or LandedFailures, `rejected` those of LandedRejects. A source of
    failures gives one row of `FailureRecord` (`event_rules.py`) for each record, and `normalized_failures` makes both
    of them.
    """

    events: "pl.DataFrame"
    rejected: "pl.DataFrame"


class Connection(Protocol):
    """An open connection to a source. Every method raises SourceError, and returns whole answers or none."""

    def fetch(self, first: datetime, last: datetime) -> list[PulledRecord]:
        """Every record that occurred at `first` or later and before `last` (UTC), each once.

        Records that were created then but occurred before may be among them, and those without a readable time, at
        the oldest instant there is.
        """

    def fetch_open(self) -> list[PulledRecord]:
        """Every record that is open now, whenever it occurred; none where the source cannot say."""

    def fetch_one(self, record_id: str) -> PulledRecord | Literal["gone", "no_access"]:
        """One record as it is now."""

    def close(self) -> None:
        """Give the connection back."""


@dataclass(frozen=True)
class EventReading:
    """How the events of a source are read that come by several doors, so that the records of one can be united first.

    `listed` makes records (SENT_SCHEMA in `raw.py`) of those that were pulled, with the ids and in the words of those
    that come by the other doors, and without those that are gone at the source; `normalize` takes records of any door,
    and keeps their `input`, where they have it. `is_sent`: whether they may be sent to our intake.
    """

    listed: Callable[["pl.DataFrame"], "pl.DataFrame"]
    normalize: Callable[["pl.DataFrame", Settings], Normalized]
    is_sent: bool


@dataclass(frozen=True)
class Reader:
    """How a source is read.

    `connect` makes a connection from the settings, the values of the source's secrets, and a function for notes.
    `normalize` takes a frame with the columns of PULLED_SCHEMA (`raw.py`); `body` is JSON text, in which what webhooks
    said of the record is the list `deliveries`. A record that is `gone`, or out of `no_access`, has the last body that
    was seen. Records of `context_days` before and after a day are given with it, for sources whose records speak of
    each other; rows of them are not taken from there.

    `events` is for sources whose events come by several doors. `webhook_changes` takes the deliveries of the source's
    webhooks (RECORD_SCHEMA); what has webhooks need not be pulled.
    """

    connect: Callable[[Settings, Sequence[str], Note], Connection]
    normalize: Callable[["pl.DataFrame", Settings, "Catalog"], Normalized]
    context_days: int = 0
    events: EventReading | None = None
    webhook_changes: Callable[["pl.DataFrame", Settings], RecordChanges] | None = None


def reader_of_events(connect: Callable[[Settings, Sequence[str], Note], Connection], events: EventReading) -> Reader:
    """How a source is read whose events come by several doors."""

    def normalize(records: "pl.DataFrame", settings: Settings, catalog: "Catalog") -> Normalized:
        return events.normalize(events.listed(records), settings)

    return Reader(connect, normalize, events=events)


@dataclass(frozen=True)
class Source(Generic[SectionType]):
    """A source: one declaration, all of it in a folder of `sources/` and named by a line in `registry.py`.

    `name` is what users select, and the key of its section below `sources:`, whose model is `settings`. `lineage` says
    in half a sentence how its events come. `kind` is the word by which Dagster shows it. `secrets` are the environment
    variables that a pull cannot do without. `reader` gives how it is read, and imports that: asking which sources there
    are should not wait for it. `is_pulled` says by its section whether to pull it; always, unless it says otherwise.
    The id of an event is that of its record behind `id_prefix`, by default the name and a colon.
    """

    name: str
    event_type: EventType
    settings: type[SectionType]
    lineage: str
    kind: str
    secrets: Sequence[str]
    reader: Callable[[], Reader]
    is_pulled: Callable[[SectionType], bool] = lambda section: True
    id_prefix: str | None = None

    def event_prefix(self) -> str:
        """What stands before the id of a record in the id of its event."""
        return f"{self.name}:" if self.id_prefix is None else self.id_prefix

    def section(self, settings: Settings) -> SectionType:
        """Its settings."""
        return settings.section(self.name, self.settings)

    def is_to_be_pulled(self, settings: Settings) -> bool:
        """Whether to pull it, by its settings."""
        return self.is_pulled(self.section(settings))

    def open(self, settings: Settings, note: Note) -> Connection:
        """A connection to it. Raises ConfigError where secrets are missing or settings lack what it needs."""
        reader = self.reader()
        instead = "its webhooks alone will do from the first one on" if reader.webhook_changes else None
        return reader.connect(settings, secrets(self.secrets, self.name, instead), note)
