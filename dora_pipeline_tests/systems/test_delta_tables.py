"""The tables of a storage as Delta Lake knows them: its own library and Polars read them, in folder and bucket."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from dora_pipeline.errors import StorageUnavailable
from dora_pipeline.warehouse.storage import delta_tables
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.object_stores import ADDRESS, SECRET, fetched, named_store, running_store
from dora_pipeline_tests.stored import TABLES, assert_equal, manifest, tell_two_months

DAILY = "metrics.daily"


@pytest.fixture
def stored(home: TestHome, storage: Path) -> TestHome:
    """A home whose state is put there: two deployments and a failure of two months."""
    home.settings(engine={"storage": str(storage), "delta": True})
    tell_two_months(home)
    home.run()
    return home


def rows(table: DeltaTable) -> list[tuple[Any, ...]]:
    """The rows of a table, sorted."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("delta", polars.scan_delta(table).collect().to_arrow())
        return connection.execute("SELECT * FROM delta ORDER BY ALL").fetchall()


def assert_tables_equal(home: TestHome, storage: Path) -> None:
    """The newest version of each table is that of the manifest, with the rows of the published file."""
    assert_equal(home, storage)
    known = manifest(storage)
    assert known["delta"].keys() == set(TABLES)
    for name in TABLES:
        table = DeltaTable(storage / "files" / name)
        assert table.version() == known["delta"][name]
        listed = {Path(uri).relative_to(storage).as_posix() for uri in table.file_uris()}
        assert listed == {file["path"] for file in known["tables"][name]}
        assert rows(table) == home.rows(f"SELECT * FROM {name} ORDER BY ALL"), name


def test_each_table_is_one_of_delta_lake_and_follows_the_published_file(stored: TestHome, storage: Path) -> None:
    assert_tables_equal(stored, storage)
    first = manifest(storage)
    before = stored.rows(f"SELECT * FROM {DAILY} ORDER BY ALL")
    # A new day, an older one that changes, and one that goes.
    stored.deploy("shop", "2024-06-08 10:00:00")
    stored.deploy("late", "2024-05-07 10:00:00")
    stored.run()
    assert_tables_equal(stored, storage)
    second = manifest(storage)
    assert second["delta"][DAILY] == first["delta"][DAILY] + 1
    assert second["delta"]["core.failures"] == first["delta"]["core.failures"]
    stored.run(rebuild=True)
    assert_tables_equal(stored, storage)
    assert manifest(storage)["delta"][DAILY] == second["delta"][DAILY]
    # Who holds a manifest has one state of all tables.
    assert rows(DeltaTable(storage / "files" / DAILY, version=first["delta"][DAILY])) == before
    fields = {field.name: field for field in DeltaTable(storage / "files" / DAILY).schema().fields}
    assert str(fields["deployments"].metadata["comment"]).startswith("Deployments")


def test_a_log_that_says_anything_else_is_brought_to_the_files(stored: TestHome, storage: Path) -> None:
    folder = storage / "files" / DAILY
    # As of an older program with other columns, and of a run that was killed between two tables.
    write_deltalake(folder, pyarrow.table({"day": ["x"]}), mode="overwrite", schema_mode="overwrite")
    shutil.rmtree(storage / "files" / "core.failures" / "_delta_log")
    # As of others: files that are as they were, under other columns or by partitions.
    DeltaTable(storage / "files" / "core.deployments").alter.add_columns([Field("theirs", PrimitiveType("string"))])
    landed = storage / "files" / "landing.deployments"
    content = polars.read_delta(str(landed)).to_arrow()
    write_deltalake(landed, content, mode="overwrite", schema_mode="overwrite", partition_by=["service"])
    # As of a file that was lost, and is written anew by another version of DuckDB.
    (path,) = (storage / "files" / "core.services").glob("*.parquet")
    duckdb.execute(f"COPY (FROM read_parquet('{path}')) TO '{path}' (COMPRESSION gzip)")
    stored.deploy("shop", "2024-06-08 10:00:00")
    stored.run()
    assert_tables_equal(stored, storage)


def test_a_run_that_ends_between_two_tables_is_ended_by_the_next(
    stored: TestHome, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, commit, done = manifest(storage), delta_tables.commit_table, list[str]()

    def interrupted(place: Any, table: Any, files: Any) -> int:
        if len(done) == 8:
            raise OSError("no longer there")
        done.append(table.table_name)
        return commit(place, table, files)

    stored.deploy("shop", "2024-06-08 10:00:00")
    monkeypatch.setattr(delta_tables, "commit_table", interrupted)
    with pytest.raises(StorageUnavailable, match=r"no longer there; what readers see there stays"):
        stored.run()
    assert manifest(storage) == before
    monkeypatch.undo()
    stored.run()
    assert_tables_equal(stored, storage)


def test_without_the_setting_no_log_stays_behind(stored: TestHome, storage: Path) -> None:
    stored.settings(engine={"storage": str(storage)})
    stored.deploy("shop", "2024-06-08 10:00:00")
    # As of a first run with the setting that was killed before it switched the manifest.
    (storage / "manifest.json").write_text(json.dumps({**manifest(storage), "delta": {}}))
    stored.run()
    assert_equal(stored, storage)
    assert not [*storage.rglob("_delta_log")]
    assert manifest(storage)["delta"] == {}
    stored.settings(engine={"storage": str(storage), "delta": True})
    stored.run()
    assert_tables_equal(stored, storage)


def test_a_log_that_cannot_be_read_is_an_error_that_names_the_table(stored: TestHome, storage: Path) -> None:
    log = storage / "files" / DAILY / "_delta_log"
    (log / f"{0:020}.json").write_text("none of theirs")
    named = rf"engine.storage {storage}: the table {DAILY} of Delta Lake: .+; if its log was damaged .*, remove {log}, "
    with pytest.raises(StorageUnavailable, match=named):
        stored.run()


def test_a_bucket_has_the_same_tables(home: TestHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home.settings(engine={"storage": ADDRESS, "delta": True})
    tell_two_months(home)
    port = named_store(monkeypatch)
    with running_store(port, tmp_path / "log") as client:
        home.run()
        assert_tables_equal(home, fetched(client, tmp_path / "first"))
        home.deploy("shop", "2024-06-08 10:00:00")
        home.run()
        assert_tables_equal(home, fetched(client, tmp_path / "second"))
        home.settings(engine={"storage": ADDRESS})
        home.run()
        third = fetched(client, tmp_path / "third")
        assert_equal(home, third)
        assert not [*third.rglob("_delta_log")]
        home.settings(engine={"storage": ADDRESS, "delta": True})
    with pytest.raises(StorageUnavailable) as error:
        home.run()
    assert SECRET not in str(error.value)
