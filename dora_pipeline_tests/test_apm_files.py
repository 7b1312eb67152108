"""The export files of a folder, and those that are copies of each other."""

import os
from datetime import UTC, datetime
from pathlib import Path

from dora_pipeline.sources.apm.files import ExportFile, copies, export_files


def test_files_are_found_at_any_depth_by_their_endings_and_sorted_by_name(tmp_path: Path) -> None:
    names = ["b.jsonl", "a/z.CSV", "a/b/c.parquet", "n.ndjson", "j.json.gz", "c.csv.zst"]
    for name in [*names, "notes.txt", "x.parquet.gz", "x.gz", "x.tar.gz", "xjsonl"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    found = export_files(tmp_path)
    assert [file.name for file in found] == [
        "a/b/c.parquet",
        "a/z.CSV",
        "b.jsonl",
        "c.csv.zst",
        "j.json.gz",
        "n.ndjson",
    ]
    assert found[0].path == tmp_path / "a/b/c.parquet"
    assert {file.size for file in found} == {3}


def test_hidden_and_temporary_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (".x.jsonl", ".hidden/x.jsonl", "x.jsonl.part", "x.jsonl.tmp", "x.jsonl~", "~x.jsonl", ".x.csv.swp"):
        (tmp_path / name).write_bytes(b"abc")
    assert export_files(tmp_path) == []


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert export_files(tmp_path / "none") == []


def test_links_are_followed_but_not_into_nothing_or_in_circles(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "exports", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_bytes(b"abc")
    (folder / "team").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    (folder / "gone.jsonl").symlink_to(tmp_path / "nothing.jsonl")
    (folder / "folder.jsonl").mkdir()
    assert [file.name for file in export_files(folder)] == ["team/a.csv"]


def test_the_time_of_the_last_change_is_utc_with_microseconds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    os.utime(tmp_path / "a.csv", ns=(0, 1_772_359_200_123_456_789))
    [file] = export_files(tmp_path)
    assert file.modified_at == datetime(2026, 3, 1, 10, 0, 0, 123456, UTC)


def test_files_with_the_same_bytes_are_copies_of_the_first_by_name(tmp_path: Path) -> None:
    for name, content in {
        "c": b"same",
        "a": b"other",
        "b": b"same",
        "d": b"same",
        "e": b"othEr",
        "f": b"longer",
    }.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    files = export_files(tmp_path)
    assert copies(files) == {"c.csv": "b.csv", "d.csv": "b.csv"}
    assert copies(list(reversed(files))) == {"c.csv": "b.csv", "d.csv": "b.csv"}


def test_large_files_that_differ_in_their_last_byte_are_no_copies(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * (3 << 20) + b"1")
    (tmp_path / "b.csv").write_bytes(b"x" * (3 << 20) + b"2")
    assert copies(export_files(tmp_path)) == {}


def test_a_file_that_is_gone_is_nobodys_copy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"same")
    gone = ExportFile("b.csv", tmp_path / "b.csv", 4, datetime(2026, 3, 1, tzinfo=UTC))
    assert copies([*export_files(tmp_path), gone]) == {}
