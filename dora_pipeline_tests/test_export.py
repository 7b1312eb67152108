"""`dora export`: core and metrics as Parquet."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from dora_pipeline.tables import TABLES, VIEWS
from dora_pipeline_tests.command import call
from dora_pipeline_tests.homes import TestHome


@pytest.fixture
def loaded(home: TestHome) -> TestHome:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1", custom_tags=["team:a"])
    home.deploy("shop", "2024-05-06 10:00:00", version="2", received="2024-05-07 00:00:00")
    home.fail(["shop"], "2024-05-07 11:00:00", "2024-05-07 12:30:00")
    home.run()
    return home


def test_every_table_and_view_of_core_and_metrics_is_there_with_its_rows_and_types(
    loaded: TestHome, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    answer = call(loaded.home.path, "export", str(folder))
    assert answer.code == 0
    names = {table.table_name for table in (*TABLES, *VIEWS) if not table.table_name.startswith("landing.")}
    files = {f"{path.parent.name}.{path.stem}": path for path in folder.rglob("*") if path.is_file()}
    assert files.keys() == names
    for name, path in files.items():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            exported = sorted(map(repr, connection.execute(f"FROM '{path}'").fetchall()))
        assert exported == sorted(map(repr, loaded.rows(f"FROM {name}"))), name
        assert f"{path}: {len(exported):,} {'row' if len(exported) == 1 else 'rows'}\n" in answer.out
    schema = pl.read_parquet_schema(files["core.deployments"])
    assert schema["finished_at"] == pl.Datetime("us", "UTC")
    assert schema["custom_tags"] == pl.List(pl.String)
    assert schema["day"] == pl.Date
    assert pl.read_parquet_schema(files["core.rejected_events"])["payload"] == pl.String


def test_an_export_takes_the_place_of_the_one_before(loaded: TestHome, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert call(loaded.home.path, "export", str(folder)).code == 0
    loaded.deploy("shop", "2024-05-08 10:00:00", version="3")
    loaded.run()
    assert call(loaded.home.path, "export", str(folder)).code == 0
    assert pl.read_parquet(folder / "core" / "deployments.parquet").height == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out"]


def test_an_export_to_a_link_is_where_the_link_leads_each_time(loaded: TestHome, tmp_path: Path) -> None:
    (tmp_path / "disk" / "dora").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/dora")
    for _ in range(2):
        answer = call(loaded.home.path, "export", str(tmp_path / "link"))
        assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["dora"]
    assert sorted(path.name for path in (tmp_path / "disk" / "dora").iterdir()) == ["core", "metrics"]


def test_the_root_of_a_disk_is_refused_with_what_to_name(loaded: TestHome) -> None:
    answer = call(loaded.home.path, "export", "/")
    assert (answer.code, answer.err) == (
        1,
        "dora: /: a disk is mounted there, so that it cannot be replaced; name a folder in it\n",
    )


def test_a_folder_with_something_else_is_refused_and_stays(loaded: TestHome, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    answer = call(loaded.home.path, "export", str(tmp_path / "mine"))
    assert answer.code == 1
    assert "holds thesis.txt, which is no export" in answer.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_where_it_cannot_be_written_the_command_says_so(loaded: TestHome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = call(loaded.home.path, "export", str(tmp_path / "file" / "out"))
    assert answer.code == 1
    assert "the export cannot be written" in answer.err
    assert len(answer.err.splitlines()) == 1
