"""The published state in a bucket: moto's server, which speaks S3, on this machine; another client looks at it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.storage.storage_reader import open_storage
from dora_pipeline_tests.command import call
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.object_stores import ADDRESS, SECRET, fetched, manifest, named_store, objects, running_store
from dora_pipeline_tests.stored import SUMMARY, assert_equal, files, kill_run, tell_two_months

COUNT = "SELECT COUNT(*) FROM core.deployments"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """That of a store that may be started, which the environment names with its keys."""
    return named_store(monkeypatch)


@pytest.fixture
def stored(home: TestHome) -> TestHome:
    """A home with deployments of two months and a failure, to be put into the bucket."""
    home.settings(engine={"storage": ADDRESS})
    tell_two_months(home)
    return home


def test_a_bucket_holds_the_rows_of_the_published_file_and_unchanged_months_are_not_written_again(
    stored: TestHome, port: int, tmp_path: Path
) -> None:
    with running_store(port, tmp_path / "log") as client:
        client.put_object(Bucket="figures", Key="teams/dora/files/theirs.parquet", Body=b"")
        stored.run()
        assert_equal(stored, fetched(client, tmp_path / "first"))
        before, written = manifest(client), objects(client)
        stored.deploy("shop", "2024-06-08 10:00:00")
        stored.run()
        assert_equal(stored, fetched(client, tmp_path / "second"))
        after, again = manifest(client), objects(client)
        old, new = (files(known, "core.deployments") for known in (before, after))
        assert (old["2024-05"], old["2024-06"] == new["2024-06"]) == (new["2024-05"], False)
        assert {name: again[name] for name in written if name != "manifest.json"} == {
            name: moment for name, moment in written.items() if name != "manifest.json"
        }
        local = call(stored.home.path, "sql", f"FROM {SUMMARY}", "--format", "json")
        stored.home.warehouse.unlink()
        there = call(stored.home.path, "sql", "--from-storage", f"FROM {SUMMARY}", "--format", "json")
        assert there == local
        assert json.loads(there.out)


def test_a_run_that_is_killed_while_it_writes_into_a_bucket_leaves_the_former_state(
    stored: TestHome, port: int, tmp_path: Path
) -> None:
    with running_store(port, tmp_path / "log") as client:
        stored.run()
        before, known = manifest(client), objects(client)
        for month in range(1, 13):
            stored.deploy("shop", f"2023-{month:02}-06 10:00:00")
        kill_run(stored, lambda: len(objects(client).keys() - known.keys()), 3)
        assert manifest(client) == before
        with open_storage(read_settings(stored.home)) as connection:
            assert connection.execute(COUNT).fetchall() == [(2,)]
            stored.run()
            assert connection.execute(COUNT).fetchall() == [(2,)]
        assert_equal(stored, fetched(client, tmp_path / "after"))
        assert stored.rows(COUNT) == [(14,)]


def test_a_store_that_does_not_answer_is_an_error_that_tells_no_secret_and_the_next_run_goes_on(
    stored: TestHome, port: int, tmp_path: Path
) -> None:
    with running_store(port, tmp_path / "log") as client:
        client.delete_bucket(Bucket="figures")
        missing = call(stored.home.path, "run")
    stored.deploy("shop", "2024-06-09 10:00:00")
    stored.settings(engine={"kind": "spark", "url": "sc://127.0.0.1:1", "storage": ADDRESS})
    before_statements = call(stored.home.path, "run")
    assert "nothing of it has come into the warehouse" in before_statements.err
    stored.settings(engine={"storage": ADDRESS})
    silent = call(stored.home.path, "run")
    asked = call(stored.home.path, "sql", "--from-storage", "SHOW TABLES")
    for answer in (missing, before_statements, silent, asked):
        assert answer.code == 1
        assert f"engine.storage {ADDRESS}: " in answer.err
        assert "Traceback" not in answer.err
        assert SECRET not in answer.out + answer.err
    assert stored.rows(COUNT) == [(3,)]
    with running_store(port, tmp_path / "second log") as client:
        stored.run()
        assert_equal(stored, fetched(client, tmp_path / "copy"))
    for folder, _, names in os.walk(tmp_path):
        assert not [name for name in names if SECRET.encode() in (Path(folder) / name).read_bytes()]


def test_a_process_whose_main_module_has_no_file_may_use_spark() -> None:
    # As a run of Dagster is; PySpark's client ends it otherwise.
    subprocess.run([sys.executable, "-c", "import dora_pipeline.warehouse.engines.spark"], check=True)
