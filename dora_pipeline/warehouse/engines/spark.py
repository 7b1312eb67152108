"""Apache Spark through Spark Connect: tables go to it and come back as Parquet files in a storage that both see.

Each statement has a folder of its own, so that a server that goes on after its client was lost harms nothing; rows
count only in the transaction of the warehouse that reads them. What does not belong here: SQL as Spark knows it
(`translation.py`).
"""

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import duckdb

from dora_pipeline.config import EngineSettings, missing_packages, secret
from dora_pipeline.errors import WarehouseError
from dora_pipeline.tables import VIEWS
from dora_pipeline.warehouse.emptiness import finds_nothing
from dora_pipeline.warehouse.engines.engine import InPlace
from dora_pipeline.warehouse.parquet import write_parquet
from dora_pipeline.warehouse.queries import insert, quoted, statement
from dora_pipeline.warehouse.storage.places import Place, explained, open_place

# A process whose main module has no file, as Dagster's runs are, it takes for doctests of its own, and ends it.
_main = sys.modules["__main__"]
_has_file = hasattr(_main, "__file__")
if not _has_file:
    _main.__file__ = __file__
try:
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    from dora_pipeline.warehouse.engines.translation import columns_read, spark_steps, tables_read, view_name
except ImportError as error:
    raise missing_packages("engine: kind spark", error, "spark") from error
finally:
    if not _has_file:
        del _main.__file__

_PORT = 15002
_TOKEN = "DORA_SPARK_TOKEN"
# A session that nobody answers is tried for minutes.
_CONNECT_SECONDS = 10
# Milliseconds. A server that is gone is asked again for half a minute, not for the ten minutes of the client.
_RETRIES = {"max_retries": 8, "backoff_multiplier": 2, "initial_backoff": 100}
# Milliseconds. Without it a server that vanished with its machine is waited for without end; one that is asked more
# often than each five minutes ends the connection.
_KEPT_ALIVE = {"grpc.keepalive_time_ms": 310_000, "grpc.keepalive_timeout_ms": 60_000}
_FOLDER = re.compile(r"dora-[0-9a-f]{32}")
_ADVICE = "nothing of it has come into the warehouse. Mend that, and run again"
# What a server may have otherwise, and rows depend on.
_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
# Both write JSON, and each its own way.
_IN_PLACE = ("core.rejected_events",)
# It writes whole traces of Java; the first line is in the error that is raised.
logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", r"\[RETRIES_EXCEEDED\]")
_VIEWS = {view.table_name for view in VIEWS}


class _Folder:
    """The folder of a statement in a storage, as DuckDB and as Spark name what is in it, and the tables in it."""

    def __init__(self, place: Place, name: str) -> None:
        self.name = name
        self.shown: set[str] = set()
        self._address = f"{place.address}/{name}"

    def here(self, name: str) -> str:
        """As DuckDB names it."""
        return f"{self._address}/{name}"

    def there(self, name: str) -> str:
        """As Spark names it: Hadoop's client of S3 goes by another scheme."""
        return f"{self._address.replace('s3://', 's3a://', 1)}/{name}"


class Spark:
    """A session of a Spark Connect server, made with the first statement."""

    def __init__(self, settings: EngineSettings) -> None:
        self._url = settings.url or ""
        self._storage = settings.storage or ""
        self._session: Any = None

    def insert(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = {}
    ) -> int:
        """As `Engine` says."""
        if name in _IN_PLACE:
            return InPlace().insert(connection, table, name, parameters)
        if finds_nothing(connection, name):
            return 0
        with self._result(connection, name, parameters) as (files, rows):
            # Of no rows there may be no file.
            if rows:
                insert(connection, table, f"read_parquet({quoted(files)})", rows)
        return rows

    def make(
        self, connection: duckdb.DuckDBPyConnection, table: str, name: str, parameters: Mapping[str, object] = {}
    ) -> int:
        """As `Engine` says."""
        # The types are those that the statement has in the warehouse.
        empty = f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM ({statement(name)}) LIMIT 0"
        connection.execute(empty, dict(parameters))
        return self.insert(connection, table, name, parameters)

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            # It may be the end of a run whose server is gone.
            self._session.client.set_retry_policies([])
            self._session.stop()
            self._session = None
            with suppress(OSError):
                self._remove_remains()

    @cached_property
    def _place(self) -> Place:
        return open_place(self._storage)

    @contextmanager
    def _result(
        self, connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object]
    ) -> Iterator[tuple[str, int]]:
        """The files with the rows of a statement, and how many rows they have, for as long as the block lasts."""
        text = statement(name)
        folder = _Folder(self._place, f"dora-{uuid4().hex}")
        with explained(self._place, _ADVICE):
            if self._session is None:
                self._place.connect(connection)
                self._remove_remains()
            self._place.make_folder(folder.name)
            try:
                with self._explained(name):
                    session = self._connected()
                    self._show(connection, session, folder, tables_read(text), _texts(text))
                    # What the files hold, not what was said of them.
                    rows = _kept(session, _run(session, folder, text, name, parameters), folder.there("rows")).count()
                yield folder.here("rows/*.parquet"), rows
            finally:
                with suppress(OSError):
                    self._place.remove_folder(folder.name)

    def _show(
        self,
        connection: duckdb.DuckDBPyConnection,
        session: Any,
        folder: "_Folder",
        names: set[str],
        texts: Sequence[str],
    ) -> None:
        """Let the session see tables of the warehouse as they are in its transaction, as far as the texts read them."""
        for name in sorted(names - folder.shown):
            folder.shown.add(name)
            if name in _VIEWS:
                text = statement(name)
                self._show(connection, session, folder, tables_read(text), texts)
                _run(session, folder, text, name, {}).createOrReplaceTempView(view_name(name))
                continue
            file = f"{name}.parquet"
            columns = [column[0] for column in connection.execute(f"FROM {name} LIMIT 0").description]
            read = {one for text in texts for one in columns_read(text, name, columns)}
            chosen = ", ".join(one for one in columns if one in read)
            write_parquet(connection, f"(SELECT {chosen} FROM {name})", folder.here(file))
            session.read.parquet(folder.there(file)).createOrReplaceTempView(view_name(name))

    def _remove_remains(self) -> None:
        """Remove what runs that were killed have left, and what the server has written for them since."""
        for name in self._place.folders():
            if _FOLDER.fullmatch(name):
                with suppress(OSError):
                    self._place.remove_folder(name)

    def _connected(self) -> Any:
        if self._session is None:
            address = urlsplit(self._url)
            try:
                socket.create_connection((address.hostname, address.port or _PORT), _CONNECT_SECONDS).close()
            except OSError as error:
                raise WarehouseError(f"engine: {self._url} does not answer ({error}); nothing has changed") from error
            channel = DefaultChannelBuilder(self._url + _token())
            for option, milliseconds in _KEPT_ALIVE.items():
                channel.setChannelOption(option, milliseconds)
            self._session = SparkSession.builder.channelBuilder(channel).create()
            self._session.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
            for name, value in _SESSION.items():
                self._session.conf.set(name, value)
        return self._session

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except PySparkException as error:
            raise WarehouseError(
                f"engine: {self._url} did not run {name}: {_reason(error)}; nothing of it has come into the warehouse"
            ) from error


def _reason(error: PySparkException) -> str:
    """The first line of an error; of a lost connection what was lost, and what to do."""
    text = str(error).strip()
    lost = re.search(r'^\s*details = "(.+)"$', text, re.M)
    return f"{lost[1]} (look whether it is up, and run again)" if lost else text.partition("\n")[0]


def _token() -> str:
    """What stands behind the URL of a server that asks for a token; with it the connection is encrypted."""
    if not os.environ.get(_TOKEN, "").strip():
        return ""
    return f"/;token={quote(secret(_TOKEN, 'engine.url'), safe='')}"


def _run(session: Any, folder: _Folder, text: str, name: str, parameters: Mapping[str, object]) -> Any:
    """The frame that a statement gives."""
    *common, last = spark_steps(text, name)
    for step in common:
        found = session.sql(step.query, dict(parameters))
        if step.is_kept:
            # Spark computes a common table as often as it is read, and plans it as often too.
            found = _kept(session, found, folder.there(step.view))
        found.createOrReplaceTempView(step.view)
    return session.sql(last.query, dict(parameters))


def _kept(session: Any, found: Any, folder: str) -> Any:
    """The rows of a frame from files."""
    found.write.parquet(folder)
    # Of no rows there may be no file that says what they would be.
    return session.read.schema(found.schema).parquet(folder)


def _texts(text: str) -> list[str]:
    """The text of a statement, and those of the views that it reads."""
    return [text, *(one for name in sorted(tables_read(text) & _VIEWS) for one in _texts(statement(name)))]
