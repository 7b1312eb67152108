"""The published state as Parquet files behind a manifest: equal at each stage, whatever happens meanwhile.

DORA_TEST_SEED says which random world it is.
"""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dora_pipeline.errors import WarehouseError
from dora_pipeline.intake.store import EventStore
from dora_pipeline.settings import read_settings
from dora_pipeline.warehouse.storage import generations
from dora_pipeline.warehouse.storage.storage_reader import open_storage
from dora_pipeline.warehouse.writer import open_writer
from dora_pipeline_tests.command import call
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.random_repositories import random_repository
from dora_pipeline_tests.random_settings import STAGES
from dora_pipeline_tests.random_worlds import random_world
from dora_pipeline_tests.stored import SUMMARY, TABLES, assert_equal, files, guide, kill_run, manifest, tell_two_months
from dora_pipeline_tests.told_worlds import tell

COUNT = "SELECT COUNT(*) FROM core.deployments"


@pytest.fixture
def stored(home: TestHome, storage: Path) -> TestHome:
    """A home whose state is put there: two deployments and a failure of two months."""
    home.settings(engine={"storage": str(storage)})
    tell_two_months(home)
    home.run()
    return home


def parquet_files(storage: Path) -> set[str]:
    """The names of all files that are not the manifest."""
    return {str(path.relative_to(storage)) for path in (storage / "files").rglob("*") if path.is_file()}


def damaged(content: bytes) -> bytes:
    """A Parquet file of the same size whose first rows are others."""
    return content[:20] + bytes(byte ^ 255 for byte in content[20:60]) + content[60:]


# Equal


@pytest.mark.slow
def test_after_each_stage_of_a_random_world_the_files_hold_the_rows_of_the_published_file(
    tmp_path: Path, storage: Path
) -> None:
    choose = random.Random(int(os.environ.get("DORA_TEST_SEED", "5")))
    remote = tmp_path / "app.git"
    repository = random_repository(choose, remote)
    world = random_world(choose, 5, repository, STAGES)
    home = TestHome(tmp_path / "home")
    for stage in range(len(STAGES)):
        tell(home, world, stage, remote, choose, engine={"storage": str(storage)})
        home.run()
        assert_equal(home, storage)
    before = manifest(storage)
    # A new day, with what is late for the first one, and the removal of an event of another month.
    home.deploy("late", "2025-02-03 10:00:00")
    home.deploy("late", "2024-03-30 10:00:00", version="v0", id="late-1")
    home.run()
    assert_equal(home, storage)
    after = manifest(storage)
    old, new = (files(known, "core.deployments") for known in (before, after))
    assert {month for month in new if old.get(month) != new[month]} == {"2024-03", "2025-02"}
    assert files(before, "core.failures") == files(after, "core.failures")
    with EventStore.at(home.home) as store:
        assert store.delete("deployment", "late-1")
    home.run()
    assert_equal(home, storage)
    assert files(manifest(storage), "core.deployments") == {**old, "2025-02": new["2025-02"]}
    (home.home.path / "exports" / "apm" / "seen-1-0.jsonl").unlink()
    home.run()
    assert_equal(home, storage)
    removed = manifest(storage)
    home.run(rebuild=True)
    assert_equal(home, storage)
    rebuilt = manifest(storage)
    for table in (name for name in TABLES if not name.startswith("landing.") and name != "metrics.freshness"):
        assert files(rebuilt, table) == files(removed, table)


def test_what_differs_only_in_how_lists_are_empty_is_another_file(stored: TestHome, storage: Path) -> None:
    known = set()
    with open_writer(stored.home, read_settings(stored.home), "tests") as writer:
        # Most of these have one hash in DuckDB.
        for tags in ("[]", "[NULL]", "['']", "['NULL']", "['a', 'b']", "['a, b']"):
            writer.connection.execute(f"UPDATE core.deployments SET custom_tags = {tags} WHERE version = '2'")
            writer.publish()
            assert_equal(stored, storage)
            known.add(files(manifest(storage), "core.deployments")["2024-06"])
        for ids in ("NULL", "[]"):
            writer.connection.execute(f"UPDATE core.failure_links SET possible_ids = {ids}")
            writer.publish()
            assert_equal(stored, storage)
            known.add(files(manifest(storage), "core.failure_links")["2024-06"])
    assert len(known) == 8


# Whole


def test_a_run_that_is_killed_while_it_writes_leaves_the_former_state_and_the_next_one_ends_it(
    stored: TestHome, storage: Path
) -> None:
    before, rows = manifest(storage), stored.rows(COUNT)
    for month in range(1, 13):
        stored.deploy("shop", f"2023-{month:02}-06 10:00:00")
    known = parquet_files(storage)
    # Some of some forty files.
    kill_run(stored, lambda: len(parquet_files(storage) - known), 5)
    assert manifest(storage) == before
    left = parquet_files(storage) - known
    assert len(left) >= 5
    with open_storage(read_settings(stored.home)) as connection:
        assert connection.execute(COUNT).fetchall() == rows
    # What it left may be cut.
    for name in left:
        (storage / name).write_bytes(b"PAR1")
    stored.run()
    assert_equal(stored, storage)
    assert stored.rows(COUNT) == [(14,)]
    after = manifest(storage)
    named = {file["path"] for known in (before, after) for listed in known["tables"].values() for file in listed}
    assert parquet_files(storage) == named


def test_a_reader_goes_on_with_its_state_for_some_publications_and_files_are_not_kept_for_ever(
    stored: TestHome, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_KEPT_GENERATIONS", 2)
    (storage / "files" / "mine.parquet").write_bytes(b"")
    with open_storage(read_settings(stored.home)) as reader:
        for number in range(2):
            stored.deploy("shop", f"2024-06-08 10:00:0{number}")
            stored.run()
            assert reader.execute(f"{COUNT} WHERE day >= DATE '2024-06-01'").fetchall() == [(1,)]
            with open_storage(read_settings(stored.home)) as other:
                assert other.execute(COUNT).fetchall() == [(3 + number,)]
        for _ in range(3):
            stored.run()
        with pytest.raises(duckdb.IOException):
            reader.execute(f"{COUNT} WHERE day >= DATE '2024-06-01'").fetchall()
    known = manifest(storage)
    named = {path for one in known["retired"] for path in one["paths"]}
    named |= {file["path"] for listed in known["tables"].values() for file in listed}
    assert parquet_files(storage) == {*named, "files/mine.parquet"}
    # Only how new the tables are has changed.
    assert [len(one["paths"]) for one in known["retired"]] == [1, 1]


def test_a_file_that_is_gone_cut_or_changed_is_written_again(stored: TestHome, storage: Path) -> None:
    paths = [
        storage / path
        for table in ("deployments", "failures")
        for path in files(manifest(storage), f"core.{table}").values()
    ]
    gone, cut, changed = paths
    whole = changed.read_bytes()
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    changed.write_bytes(damaged(whole))
    stored.run()
    assert gone.exists()
    assert_equal(stored, storage)
    # Also where its size and time are as they were left, which a rebuild does not trust.
    times = changed.stat()
    changed.write_bytes(damaged(whole))
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    stored.run(rebuild=True)
    assert changed.read_bytes() == whole


def test_a_file_that_was_cut_when_no_state_had_it_is_written_again_for_the_one_that_has_it_again(
    stored: TestHome, storage: Path
) -> None:
    former = storage / files(manifest(storage), "core.deployments")["2024-06"]
    stored.deploy("shop", "2024-06-08 10:00:00", id="late")
    stored.run()
    former.write_bytes(former.read_bytes()[:-9])
    with EventStore.at(stored.home) as store:
        assert store.delete("deployment", "late")
    stored.run()
    assert_equal(stored, storage)
    assert storage / files(manifest(storage), "core.deployments")["2024-06"] == former


# What can go wrong


def test_a_storage_that_is_not_there_is_an_error_after_publication_and_the_next_run_goes_on(
    stored: TestHome, storage: Path
) -> None:
    shutil.move(storage, storage.with_name("elsewhere"))
    stored.deploy("shop", "2024-06-08 10:00:00")
    answer = call(stored.home.path, "run")
    assert answer.code == 1
    assert f"engine.storage {storage}: this folder is not there: make it, or mount what is missing" in answer.err
    assert "the warehouse of this home is published. Mend that, and the next run goes on from there" in answer.err
    assert stored.rows(COUNT) == [(3,)]
    shutil.move(storage.with_name("elsewhere"), storage)
    stored.run()
    assert_equal(stored, storage)


def test_a_manifest_that_is_none_of_ours_stays(stored: TestHome, storage: Path) -> None:
    for content in ('{"theirs": true}', json.dumps({**manifest(storage), "format": 2})):
        (storage / "manifest.json").write_text(content)
        with pytest.raises(WarehouseError, match=r"manifest\.json: is none that this program can read; update"):
            stored.run()
        assert (storage / "manifest.json").read_text() == content


def test_two_homes_that_write_one_storage_at_a_time_are_an_error(
    stored: TestHome, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = generations.write_parquet

    def meddled(*given: object) -> int:
        (storage / "manifest.json").write_text(json.dumps({**manifest(storage), "generation": 7}))
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(generations, "write_parquet", meddled)
    with pytest.raises(WarehouseError, match="another home writes there, too"):
        stored.run()
    assert manifest(storage)["generation"] == 7


def test_a_run_says_that_others_have_written_its_storage_or_that_it_is_gone(
    stored: TestHome, storage: Path, tmp_path: Path
) -> None:
    other = TestHome(tmp_path / "other")
    other.settings(engine={"storage": str(storage)})
    other.select_events()
    for home in (other, stored):
        home.run()
        assert [note for note in home.notes.notes if f"engine.storage {storage}: was not as the last run of" in note]
        assert_equal(home, storage)
    stored.notes.notes.clear()
    for address in (tmp_path, storage):
        stored.settings(engine={"storage": str(address)})
        stored.run()
    assert not stored.notes.notes
    # As where a disk is not mounted.
    shutil.rmtree(storage)
    storage.mkdir()
    stored.run()
    assert "its disk is not mounted); it has the state of this home now" in stored.notes.notes[0]


def test_an_object_store_without_its_secrets_is_an_error(home: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    home.settings(engine={"storage": "s3://bucket/dora"})
    answer = call(home.home.path, "sql", "--from-storage", "SHOW TABLES")
    assert answer.code == 1
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set" in answer.err


# Read


def test_what_the_guide_for_duckdb_tells_gives_the_figures(stored: TestHome, storage: Path) -> None:
    names: dict[str, Any] = {}
    exec(guide(storage), names)
    query = "SELECT * FROM metrics.summary('month', DATE '2024-05-01', DATE '2024-06-30') ORDER BY ALL"
    assert names["connection"].execute(query).fetchall() == stored.rows(query)


def test_dora_sql_answers_from_the_storage_as_it_does_from_the_published_file(stored: TestHome, storage: Path) -> None:
    queries = (f"FROM {SUMMARY}", "FROM metrics.daily ORDER BY ALL", "SHOW TABLES", "DESCRIBE core.deployments")
    local = [call(stored.home.path, "sql", query, "--format", "json") for query in queries]
    stored.home.warehouse.unlink()
    there = [call(stored.home.path, "sql", "--from-storage", query, "--format", "json") for query in queries]
    assert [answer.code for answer in (*local, *there)] == [0] * 8
    assert [json.loads(answer.out) for answer in there[:2]] == [json.loads(answer.out) for answer in local[:2]]
    shown, also_shown = ({row["name"]: row["holds"] for row in json.loads(one[2].out)} for one in (local, there))
    assert shown == also_shown
    refused = call(stored.home.path, "sql", "--from-storage", f"FROM read_text('{stored.home.settings_file}')")
    assert "files other than the warehouse are out of reach" in refused.err
    (storage / "manifest.json").unlink()
    answer = call(stored.home.path, "sql", "--from-storage", "SHOW TABLES")
    assert f"{storage}/manifest.json: is not there yet; `dora run` writes it" in answer.err
    stored.settings()
    answer = call(stored.home.path, "sql", "--from-storage", "SHOW TABLES")
    assert "engine.storage is not set in dora.yaml" in answer.err
