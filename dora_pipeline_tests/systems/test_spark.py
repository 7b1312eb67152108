"""The transformation on Apache Spark and on Sail, beside the same in DuckDB.

DORA_TEST_SEED says which random world it is, DORA_TEST_SERVICES how many services it has, and DORA_TEST_STAGES (any
text) that it is loaded in stages.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest
import yaml
from pyspark.sql.connect.session import SparkSession

from dora_pipeline.errors import WarehouseError
from dora_pipeline_tests import stored
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.object_stores import ADDRESS, fetched, named_store, objects, running_store
from dora_pipeline_tests.random_repositories import random_repository
from dora_pipeline_tests.random_settings import STAGES
from dora_pipeline_tests.random_worlds import random_world
from dora_pipeline_tests.spark_servers import ConnectServer, running_sail, running_server
from dora_pipeline_tests.test_random_worlds import assert_same
from dora_pipeline_tests.told_worlds import tell

# The folder of a statement.
LEFT = f"dora-{'a1' * 16}"
# The engines add up the two values beside a percentile each in its own way.
PERCENTILES = "COLUMNS(lambda c: c LIKE '%_p50_seconds' OR c LIKE '%_p90_seconds')"
EXACT = "COLUMNS(lambda c: NOT (c LIKE '%_p50_seconds' OR c LIKE '%_p90_seconds'))"


@dataclass(frozen=True)
class Storage:
    """A storage as the settings name it, and as Spark does; what stands in it, at its top and as a folder."""

    address: str
    there: str
    names: Callable[[], set[str]]
    copy: Callable[[], Path]


@contextmanager
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A folder with what a killed run has left."""
    path = tmp_path / "storage"
    (path / LEFT).mkdir(parents=True)
    (path / LEFT / "core.deployments.parquet").write_bytes(b"PAR1")
    yield Storage(str(path), str(path), lambda: set(os.listdir(path)), lambda: path)


@contextmanager
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A bucket with what a killed run has left; what is started now knows it."""
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with running_store(named_store(monkeypatch), tmp_path / "store.log") as client:
        client.put_object(Bucket="figures", Key=f"teams/dora/{LEFT}/core.deployments.parquet", Body=b"PAR1")
        yield Storage(
            ADDRESS,
            ADDRESS.replace("s3:", "s3a:"),
            lambda: {name.partition("/")[0] for name in objects(client)},
            lambda: fetched(client, tmp_path / "copy"),
        )


def use_engine(home: TestHome, **engine: str | bool) -> None:
    """Change the setting `engine` alone."""
    settings = yaml.safe_load(home.home.settings_file.read_text(encoding="utf-8"))
    home.settings(**{**settings, "engine": engine})


def assert_equal(home: TestHome, other: TestHome) -> None:
    """Every row of core and metrics is equal, but for the last digits of percentiles."""
    tables, others = home.tables(), other.tables()
    assert {name for name, rows in tables.items() if not rows} <= {"core.services"}
    assert {**tables, "metrics.daily": []} == {**others, "metrics.daily": []}
    order = "FROM metrics.daily ORDER BY day, service, env, team"
    assert home.rows(f"SELECT {EXACT} {order}") == other.rows(f"SELECT {EXACT} {order}")
    assert_same(home.rows(f"SELECT day, {PERCENTILES} {order}"), other.rows(f"SELECT day, {PERCENTILES} {order}"))


def assert_read_by_spark(server: ConnectServer, home: TestHome, storage: Storage) -> None:
    """Spark that follows the manifest, and Sail that follows Delta Lake's logs, read the rows of every table."""
    token = f"/;token={quote(server.token, safe='')}" if server.token else ""
    session = SparkSession.builder.remote(server.url + token).create()
    try:
        known = stored.manifest(storage.copy())
        for table, listed in known["tables"].items():
            frames = [session.read.parquet(*(f"{storage.there}/{file['path']}" for file in listed))]
            if known["delta"]:
                frames.append(session.read.format("delta").load(f"{storage.there}/files/{table}"))
            for frame in frames:
                with duckdb.connect() as connection:
                    connection.execute("SET TimeZone = 'UTC'")
                    read = connection.from_arrow(frame.toArrow()).fetchall()
                assert sorted(map(repr, read)) == sorted(map(repr, home.rows(f"FROM {table}"))), table
    finally:
        session.stop()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("running", "made_storage"), [(running_server, folder), (running_sail, bucket)])
def test_spark_makes_the_rows_that_duckdb_makes_and_one_that_died_changes_nothing(
    running: Callable[[Path], AbstractContextManager[ConnectServer]],
    made_storage: Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[Storage]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose = random.Random(int(os.environ.get("DORA_TEST_SEED", "11")))
    remote = tmp_path / "app.git"
    repository = random_repository(choose, remote)
    world = random_world(choose, int(os.environ.get("DORA_TEST_SERVICES", "25")), repository, STAGES)
    # Each run costs Spark a minute of a processor, most of it for planning.
    last = len(STAGES) - 1
    run_stages = range(last + 1) if running is running_sail or os.environ.get("DORA_TEST_STAGES") else [last]
    plain, sparked = TestHome(tmp_path / "plain"), TestHome(tmp_path / "sparked")
    with made_storage(tmp_path, monkeypatch) as storage, running(tmp_path / "spark") as server:
        # Spark knows Delta Lake by a package that is not its own.
        spark = {"kind": "spark", "url": server.url, "storage": storage.address, "delta": running is running_sail}
        if server.token:
            monkeypatch.setenv("DORA_SPARK_TOKEN", server.token)
        for stage in range(len(STAGES)):
            state = choose.getstate()
            for home, engine in ((plain, None), (sparked, spark)):
                choose.setstate(state)
                tell(home, world, stage, remote, choose, engine)
                if stage in run_stages:
                    home.run()
            if stage in run_stages:
                assert_equal(plain, sparked)
                stored.assert_equal(sparked, storage.copy())
                assert storage.names() == {"files", "manifest.json"}
        assert_read_by_spark(server, sparked, storage)
        before = sparked.tables()
        for home in (plain, sparked):
            home.deploy("late", "2024-06-01 10:00:00", id="late-1")
        plain.run()
        if server.token:
            wrong = server.token[::-1]
            monkeypatch.setenv("DORA_SPARK_TOKEN", wrong)
            with pytest.raises(WarehouseError, match=rf"engine: {server.url} did not run ") as raised:
                sparked.run()
            assert wrong not in str(raised.value)
        server.lose()
        with pytest.raises(WarehouseError, match=rf"engine: {server.url} does not answer .*nothing has changed"):
            sparked.run()
        assert sparked.tables() == before
    use_engine(sparked, kind="duckdb")
    sparked.run()
    assert_equal(plain, sparked)
