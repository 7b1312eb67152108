"""The export files of a folder, and those that are copies of each other."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.sources.apm.export_files import ExportFile, KnownFile, Listing, copies, export_files, listing
from dora_pipeline.sources.apm.export_reading import read_export


def test_files_are_found_at_any_depth_by_their_endings_and_sorted_by_name(tmp_path: Path) -> None:
    names = ["b.jsonl", "a/z.CSV", "a/b/c.parquet", "n.ndjson", "j.json.gz", "c.csv.zst"]
    for name in [*names, "README.md", "x.parquet.gz", "x.gz", "x.tar.gz", "xjsonl"]:
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


def test_hidden_and_temporary_files_and_notes_for_people_are_no_exports(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (
        *(".x.jsonl", ".hidden/x.jsonl", "x.jsonl.part", "x.jsonl.tmp", "x.jsonl~", "~x.jsonl", ".x.csv.swp"),
        *("README", "readme.txt", ".DS_Store", "Thumbs.db", "_SUCCESS", "_committed_7", "x.csv.crc", "x.csv.sha256"),
    ):
        (tmp_path / name).write_bytes(b"abc")
    assert listing(tmp_path) == Listing([], [])


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert export_files(tmp_path / "none") == []


def names(folder: Path, *link_targets: Path) -> list[str]:
    return [file.name for file in export_files(folder, link_targets)]


def left_out(folder: Path, *link_targets: Path) -> dict[str, str]:
    """The names of what is not read, with the beginnings of the reasons."""
    return {file.name: file.reason.partition(";")[0] for file in listing(folder, link_targets).left_out}


def test_links_that_leave_the_folder_are_left_out_by_name_unless_their_targets_are_allowed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "exports", tmp_path / "elsewhere"
    folder.mkdir()
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "a.csv").write_bytes(b"abc")
    (elsewhere / "deep" / "b.csv").write_bytes(b"abc")
    (tmp_path / "elsewhere-too").mkdir()
    (tmp_path / "elsewhere-too" / "c.csv").write_bytes(b"abc")
    (folder / "team").symlink_to(elsewhere)
    (folder / "c.csv").symlink_to(tmp_path / "elsewhere-too" / "c.csv")
    (folder / "chain").symlink_to(tmp_path / "chain")
    (tmp_path / "chain").symlink_to(elsewhere / "deep")
    (folder / "environ.json").symlink_to("/proc/self/environ")
    leaves = "it is a link that leaves the folder"
    assert names(folder) == []
    assert left_out(folder) == dict.fromkeys(["c.csv", "chain", "environ.json", "team"], leaves)
    assert names(folder, elsewhere) == ["chain/b.csv", "team/a.csv"]
    assert left_out(folder, elsewhere) == dict.fromkeys(["c.csv", "environ.json"], leaves)
    # Whoever allows everything does not mean what the kernel makes up.
    assert names(folder, Path("/")) == ["c.csv", "chain/b.csv", "team/a.csv"]
    assert left_out(folder, Path("/")) == {"environ.json": leaves}


def test_links_inside_the_folder_add_no_file_twice_and_circles_end(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.csv").write_bytes(b"abc")
    (folder / "again").symlink_to("2024")
    (folder / "0.csv").symlink_to("2024/a.csv")
    (folder / "2024" / "round").symlink_to(folder)
    assert names(folder) == ["2024/a.csv"]
    assert left_out(folder) == {}


def test_a_linked_folder_of_exports_is_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_bytes(b"abc")
    (tmp_path / "exports").symlink_to(tmp_path / "real")
    assert names(tmp_path / "exports") == ["a.csv"]


def test_links_that_lead_nowhere_are_left_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nothing.jsonl")
    (tmp_path / "one.jsonl").symlink_to("two.jsonl")
    (tmp_path / "two.jsonl").symlink_to("one.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert names(tmp_path) == []
    assert left_out(tmp_path) == dict.fromkeys(
        ["gone.jsonl", "one.jsonl", "two.jsonl"], "it is a link that leads nowhere"
    )


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "to-pipe.csv").symlink_to("pipe.jsonl")
    (tmp_path / "null.json").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.csv"))
        assert names(tmp_path, Path("/")) == []
        assert left_out(tmp_path, Path("/")) == {
            "null.json": "it is a link that leaves the folder",
            "pipe.jsonl": "it is no regular file",
            "socket.csv": "it is no regular file",
        }


def test_what_became_a_pipe_since_it_was_listed_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    [file] = export_files(tmp_path)
    file.path.unlink()
    os.mkfifo(file.path)
    with pytest.raises(SourceUnavailable, match="it is no regular file"):
        read_export(file, Settings())


def test_files_with_other_endings_are_left_out_by_name(tmp_path: Path) -> None:
    others = ["a.jsonl.bz2", "a.tsv", "a.txt", "a.jsonl.1", "part-00000", "a.xlsx", "a.parquet.gz", "deep/a.json.zip"]
    for name in [*others, "a.jsonl"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    assert names(tmp_path) == ["a.jsonl"]
    reason = "its ending is none of .jsonl .ndjson .json .csv, these with .gz .zst, .parquet"
    assert left_out(tmp_path) == dict.fromkeys(sorted(others), reason)


def test_names_that_are_no_utf8_are_left_out_and_escaped(tmp_path: Path) -> None:
    for name in (b"caf\xe9.jsonl", b"fine.jsonl", b"d\xff/inside.jsonl", b"two\nlines\xfe.jsonl", b"two\nlines.txt"):
        path = os.fsencode(tmp_path) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"abc")
    assert names(tmp_path) == ["fine.jsonl"]
    found = left_out(tmp_path)
    assert sorted(found) == ["caf\\xe9.jsonl", "d\\xff", "two\\nlines.txt", "two\\nlines\\xfe.jsonl"]
    assert found["caf\\xe9.jsonl"] == "its name is not UTF-8"


def test_names_that_are_alike_are_files_of_their_own(tmp_path: Path) -> None:
    alike = ["A.jsonl", "a.JSONL", "a.jsonl", "\u00e9.jsonl", "e\u0301.jsonl", f"{'x' * 249}.jsonl", "two\nlines.jsonl"]
    for name in alike:
        (tmp_path / name).write_bytes(b"abc")
    assert names(tmp_path) == sorted(alike)
    assert left_out(tmp_path) == {}


def test_the_time_of_the_last_change_is_utc_with_microseconds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    os.utime(tmp_path / "a.csv", ns=(0, 1_772_359_200_123_456_789))
    [file] = export_files(tmp_path)
    assert file.modified_at == datetime(2026, 3, 1, 10, 0, 0, 123456, UTC)


def test_files_with_the_same_bytes_are_copies_of_the_newest_and_then_of_the_first_by_name(
    tmp_path: Path,
) -> None:
    for name, content in {
        "c": b"same",
        "a": b"other",
        "b": b"same",
        "d": b"same",
        "e": b"othEr",
        "f": b"longer",
    }.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
        os.utime(tmp_path / f"{name}.csv", (1_772_359_200, 1_772_359_200))
    files = export_files(tmp_path)
    assert copies(files) == {"c.csv": "b.csv", "d.csv": "b.csv"}
    assert copies(list(reversed(files))) == {"c.csv": "b.csv", "d.csv": "b.csv"}
    os.utime(tmp_path / "d.csv", (1_772_359_201, 1_772_359_201))
    assert copies(export_files(tmp_path)) == {"b.csv": "d.csv", "c.csv": "d.csv"}


def test_files_that_are_as_they_were_are_not_compared_again(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_bytes(b"same")
        os.utime(tmp_path / f"{name}.csv", (1_772_359_200, 1_772_359_200))
    files = export_files(tmp_path)
    (tmp_path / "alone.csv").write_bytes(b"longer")
    known = {
        file.name: KnownFile(file.size, file.modified_us, None if file.name == "a.csv" else "a.csv") for file in files
    }
    # What cannot be read now was read when it was known.
    for file in files:
        file.path.rename(tmp_path / f"{file.name}.bak")
    assert copies([*files, *export_files(tmp_path)], known) == {"b.csv": "a.csv", "c.csv": "a.csv"}
    for file in files:
        (tmp_path / f"{file.name}.bak").rename(file.path)
    # One that came, changed or went may be the original of the others, or no copy any more.
    (tmp_path / "d.csv").write_bytes(b"same")
    assert copies(export_files(tmp_path), known) == {"a.csv": "d.csv", "b.csv": "d.csv", "c.csv": "d.csv"}
    (tmp_path / "d.csv").unlink()
    (tmp_path / "b.csv").write_bytes(b"some")
    assert copies(export_files(tmp_path), known) == {"c.csv": "a.csv"}
    (tmp_path / "a.csv").unlink()
    assert copies(export_files(tmp_path), known) == {}


def test_the_same_bytes_under_another_ending_are_no_copy_since_they_are_read_otherwise(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.csv", "c.jsonl", "d.jsonl.gz", "e.csv"):
        (tmp_path / name).write_bytes(b"same")
        os.utime(tmp_path / name, (1_772_359_200, 1_772_359_200))
    files = export_files(tmp_path)
    expected = {"c.jsonl": "a.jsonl", "e.csv": "b.csv"}
    assert copies(files) == expected
    known = {file.name: KnownFile(file.size, file.modified_us, "b.csv") for file in files if file.name != "b.csv"}
    assert copies(files, {**known, "b.csv": KnownFile(4, files[1].modified_us, None)}) == expected


def test_large_files_that_differ_in_their_last_byte_are_no_copies(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * (3 << 20) + b"1")
    (tmp_path / "b.csv").write_bytes(b"x" * (3 << 20) + b"2")
    assert copies(export_files(tmp_path)) == {}


def test_a_file_that_is_gone_is_nobodys_copy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"same")
    gone = ExportFile("b.csv", str(tmp_path / "b.csv"), 4, 1_772_323_200_000_000)
    assert copies([*export_files(tmp_path), gone]) == {}
