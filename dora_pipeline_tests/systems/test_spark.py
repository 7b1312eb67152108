"""The transformation on Apache Spark, beside the same in DuckDB.

DORA_TEST_SEED says which random world it is, DORA_TEST_SERVICES how many services it has, and DORA_TEST_STAGES (any
text) that it is loaded in stages.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest
import yaml
from pyspark.sql.connect.session import SparkSession

from dora_pipeline.errors import WarehouseError
from dora_pipeline_tests import stored
from dora_pipeline_tests.dagster_servers import free_port
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.random_repositories import random_repository
from dora_pipeline_tests.random_settings import STAGES
from dora_pipeline_tests.random_worlds import random_world
from dora_pipeline_tests.test_random_worlds import assert_same
from dora_pipeline_tests.told_worlds import tell
from dora_pipeline_tests.waiting import eventually

# Where `make test-spark` installs the server; its package and that of the client have one name.
SERVER = Path(sys.prefix) / "spark" / "pyspark"
TOKEN = "not-to-be-seen/anywhere"
PROGRAM = "org.apache.spark.sql.connect.service.SparkConnectServer"
# The engines add up the two values beside a percentile each in its own way.
PERCENTILES = "COLUMNS(lambda c: c LIKE '%_p50_seconds' OR c LIKE '%_p90_seconds')"
EXACT = "COLUMNS(lambda c: NOT (c LIKE '%_p50_seconds' OR c LIKE '%_p90_seconds'))"


@contextmanager
def running_server(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a Spark on this machine, and its process."""
    assert shutil.which("java"), "java is missing: install Debian's default-jre-headless"
    assert (SERVER / "bin").is_dir(), f"Spark is not in {SERVER}: `make test-spark` installs it"
    folder.mkdir()
    port = free_port()
    settings = {
        "spark.ui.enabled": "false",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.authenticate.token": TOKEN,
        "spark.sql.shuffle.partitions": "2",
        # To compile each plan takes longer than a few rows do.
        "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.local.dir": str(folder / "temporary"),
    }
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command = [
        str(SERVER / "bin" / "spark-submit"),
        "--master",
        "local[2]",
        *options,
        "--class",
        PROGRAM,
        "spark-internal",
    ]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    log = folder / "server.log"
    with log.open("wb") as output:
        # Its script replaces itself by Java.
        process = subprocess.Popen(
            command, cwd=folder, env=variables | {"SPARK_HOME": str(SERVER)}, stdout=output, stderr=output
        )
        try:
            eventually(lambda: process.poll() is not None or _answers(port), "Spark answers")
            assert process.poll() is None, log.read_text(encoding="utf-8")
            # With a token no other host is spoken to in clear.
            yield f"sc://localhost:{port}", process.pid
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def use_engine(home: TestHome, **engine: str) -> None:
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


def assert_read_by_spark(url: str, home: TestHome, storage: Path) -> None:
    """Spark that follows the manifest reads the rows of every table."""
    session = SparkSession.builder.remote(f"{url}/;token={quote(TOKEN, safe='')}").create()
    try:
        for table, listed in stored.manifest(storage)["tables"].items():
            rows = session.read.parquet(*(str(storage / file["path"]) for file in listed)).toArrow()
            with duckdb.connect() as connection:
                connection.execute("SET TimeZone = 'UTC'")
                read = connection.from_arrow(rows).fetchall()
            assert sorted(map(repr, read)) == sorted(map(repr, home.rows(f"FROM {table}"))), table
    finally:
        session.stop()


@pytest.mark.timeout(3600)
def test_spark_makes_the_rows_that_duckdb_makes_and_one_that_died_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = random.Random(int(os.environ.get("DORA_TEST_SEED", "11")))
    remote, storage = tmp_path / "app.git", tmp_path / "storage"
    repository = random_repository(choose, remote)
    world = random_world(choose, int(os.environ.get("DORA_TEST_SERVICES", "25")), repository, STAGES)
    # Each run costs Spark a minute of a processor, most of it for planning.
    last = len(STAGES) - 1
    run_stages = range(last + 1) if os.environ.get("DORA_TEST_STAGES") else [last]
    plain, sparked = TestHome(tmp_path / "plain"), TestHome(tmp_path / "sparked")
    storage.mkdir()
    with running_server(tmp_path / "spark") as (url, server):
        spark = {"kind": "spark", "url": url, "storage": str(storage)}
        monkeypatch.setenv("DORA_SPARK_TOKEN", TOKEN)
        for stage in range(len(STAGES)):
            state = choose.getstate()
            for home, engine in ((plain, None), (sparked, spark)):
                choose.setstate(state)
                tell(home, world, stage, remote, choose, engine)
                if stage in run_stages:
                    home.run()
            if stage in run_stages:
                assert_equal(plain, sparked)
                stored.assert_equal(sparked, storage)
                assert {path.name for path in storage.iterdir()} == {"files", "manifest.json"}
        assert_read_by_spark(url, sparked, storage)
        before = sparked.tables()
        for home in (plain, sparked):
            home.deploy("late", "2024-06-01 10:00:00", id="late-1")
        plain.run()
        monkeypatch.setenv("DORA_SPARK_TOKEN", TOKEN[::-1])
        with pytest.raises(WarehouseError, match=rf"engine: {url} did not run ") as raised:
            sparked.run()
        assert TOKEN[::-1] not in str(raised.value)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(WarehouseError, match=rf"engine: {url} does not answer .*nothing has changed"):
            sparked.run()
        assert sparked.tables() == before
    use_engine(sparked, kind="duckdb")
    sparked.run()
    assert_equal(plain, sparked)
