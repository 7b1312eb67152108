"""A home folder that a test fills as a user would: files dropped, events sent, sources selected; then `run`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import duckdb
import yaml

from dora_pipeline.config import Home, Settings
from dora_pipeline.identifiers import EventType
from dora_pipeline.intake.store import EventStore
from dora_pipeline.pipeline.runs import RunReport, run
from dora_pipeline.selection import append_selection
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.publication import working_file
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.writer import open_writer

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DEPLOYMENTS_BY_EVENT = ("deployment_event_api",)
DEPLOYMENTS_BY_APM = ("apm_deployment_tracking",)
FAILURES_BY_EVENT = ("failure_event_api",)


def moment(text: str) -> datetime:
    """`2024-05-06 07:08:09` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """DuckDB without a file: to start it takes longer than most queries of a test."""
    return duckdb.connect()


@cache
def _empty_warehouse() -> bytes:
    """A working database in which nothing has landed."""
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        with open_writer(home, Settings(), "tests"):
            pass
        return working_file(home).read_bytes()


class Notes:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, name: str, done: int, total: int) -> None:
        """Steps are not kept."""

    def note(self, message: str) -> None:
        """Keep the message."""
        self.notes.append(message)


class TestHome:
    """The folder of one test."""

    __test__ = False

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.home = Home(path)
        self.notes = Notes()

    def settings(self, **settings: Any) -> None:
        """Write dora.yaml."""
        self.home.settings_file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def select(self, event_type: EventType, *sources: str, at: datetime = LONG_AGO) -> None:
        """Select sources."""
        append_selection(self.home, event_type, sources, at)

    def select_events(self, at: datetime = LONG_AGO) -> None:
        """Select both event APIs."""
        self.select("deployment", *DEPLOYMENTS_BY_EVENT, at=at)
        self.select("failure", *FAILURES_BY_EVENT, at=at)

    def deploy(self, service: str, finished: str, *, received: str | None = None, **attributes: Any) -> str:
        """Send a deployment that took no time; the event's id."""
        told = {
            "service": service,
            "started_at": finished + "Z",
            "finished_at": finished + "Z",
            "env": "prod",
            **attributes,
        }
        with EventStore.at(self.home) as store:
            return store.append("deployment", told, received_at=moment(received or finished)).event_id

    def fail(
        self,
        services: Sequence[str],
        started: str,
        finished: str | None = None,
        *,
        received: str | None = None,
        **attributes: Any,
    ) -> str:
        """Send a failure; the event's id."""
        told: dict[str, Any] = {"services": list(services), "started_at": started + "Z", "env": "prod", **attributes}
        if finished is not None:
            told["finished_at"] = finished + "Z"
        with EventStore.at(self.home) as store:
            return store.append("failure", told, received_at=moment(received or finished or started)).event_id

    def drop_export(self, name: str, sightings: Sequence[Mapping[str, Any]]) -> Path:
        """Write a JSONL export."""
        path = self.home.path / "exports" / "apm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(sighting) + "\n" for sighting in sightings), encoding="utf-8")
        return path

    def run(
        self, first: str | None = None, last: str | None = None, *, rebuild: bool = False, warns: bool = False
    ) -> RunReport:
        """Run the pipeline: all that changed, or the days from first to last (default: first alone)."""
        window = None if first is None else Window(date.fromisoformat(first), date.fromisoformat(last or first))
        if not (self.home.work.exists() or self.home.warehouse.exists()):
            # To define its tables takes a quarter of a first run: this one goes on where a killed one has done that.
            self.home.work.mkdir()
            working_file(self.home).write_bytes(_empty_warehouse())
        return run(self.home, window, rebuild=rebuild, warns=warns, progress=self.notes)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query of the published warehouse."""
        with self._reader() as connection:
            return connection.execute(query, list(parameters)).fetchall()

    def tables(self) -> dict[str, list[str]]:
        """Every row of core and metrics as text, sorted: what must be equal to the byte; all but when runs were."""
        with self._reader() as connection:
            told = "COLUMNS(lambda c: c <> 'last_run_at')"
            names = connection.execute(
                """
                SELECT schema_name || '.' || table_name FROM duckdb_tables()
                WHERE database_name = current_database() AND schema_name IN ('core', 'metrics')
                """
            ).fetchall()
            return {
                name: sorted(repr(row) for row in connection.execute(f"SELECT {told} FROM {name}").fetchall())
                for (name,) in names
            }

    @contextmanager
    def _reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        name = f"warehouse_{uuid4().hex}"
        with _database().cursor() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"ATTACH {quoted(str(self.home.warehouse))} AS {name} (READ_ONLY)")
            try:
                connection.execute(f"USE {name}")
                yield connection
            finally:
                connection.execute("USE memory")
                connection.execute(f"DETACH {name}")
