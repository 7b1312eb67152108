"""Export files of every format: the same facts give the same frames."""

import gzip
import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.sources.apm.export_files import export_files
from dora_pipeline.sources.apm.export_reading import read_export
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.tables import LandedRejects, LandedVersionActivity, empty_frame
from dora_pipeline_tests.apm_exports import (
    ACTIVITY,
    RECORDS,
    SHA,
    URL,
    csv_bytes,
    jsonl,
    parquet_bytes,
    reading,
    reasons,
    written,
    zst,
)

CONTENTS = {
    "x.jsonl": jsonl(*RECORDS),
    "x.ndjson": jsonl(*RECORDS),
    "x.json": json.dumps(RECORDS, indent=1).encode(),
    "x.csv": csv_bytes(*RECORDS),
}
CONTENTS |= {f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()} | {
    f"{name}.zst": zst(content) for name, content in CONTENTS.items()
}
CONTENTS["x.parquet"] = parquet_bytes(pa.Table.from_pylist(RECORDS))


@pytest.mark.parametrize("name", CONTENTS)
def test_the_same_facts_give_the_same_frames_in_every_format(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, CONTENTS[name]))
    assert found.activity.rows() == ACTIVITY
    assert (found.records, found.is_complete, found.rejected.height, found.deployments.height) == (3, True, 0, 0)


@pytest.mark.parametrize("name", [*CONTENTS, "x.csv.gz"])
def test_an_empty_file_tells_nothing_and_nothing_is_rejected(tmp_path: Path, name: str) -> None:
    packed = {".gz": gzip.compress(b""), ".zst": zst(b"")}
    for content in (b"", packed.get(Path(name).suffix, b"")):
        found = reading(written(tmp_path / name, content))
        assert (found.records, found.activity.height, found.rejected.height) == (0, 0, 0)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("activity", empty_frame(LandedVersionActivity).drop("input")),
        ("deployments", pl.DataFrame(schema=SENT_SCHEMA)),
        ("rejected", empty_frame(LandedRejects).drop("input")),
    ],
)
def test_the_frames_have_the_columns_of_their_tables_or_of_records_without_the_input(
    tmp_path: Path, frame: str, expected: pl.DataFrame
) -> None:
    for content in (b"", jsonl(*RECORDS, "junk")):
        found: pl.DataFrame = getattr(reading(written(tmp_path / "x.jsonl", content)), frame)
        assert found.schema == expected.schema


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.json", "x.csv"):
        assert reading(written(tmp_path / name, b"\xef\xbb\xbf" + CONTENTS[name])).activity.rows() == ACTIVITY


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.csv"):
        found = reading(written(tmp_path / name, CONTENTS[name].replace(b"\n", b"\r\n")))
        assert (found.activity.rows(), found.rejected.height) == (ACTIVITY, 0)


@pytest.mark.parametrize("separator", [b";", b"\t"])
def test_the_cells_of_a_csv_may_be_separated_by_semicolons_or_tabs(tmp_path: Path, separator: bytes) -> None:
    assert reading(written(tmp_path / "x.csv", CONTENTS["x.csv"].replace(b",", separator))).activity.rows() == ACTIVITY


def test_a_json_file_with_a_record_a_line_is_read_like_jsonl(tmp_path: Path) -> None:
    assert reading(written(tmp_path / "x.json", CONTENTS["x.jsonl"])).activity.rows() == ACTIVITY


def test_a_json_file_may_hold_a_single_record(tmp_path: Path) -> None:
    assert (
        reading(written(tmp_path / "x.json", json.dumps(RECORDS[2], indent=2).encode())).activity.rows() == ACTIVITY[:1]
    )


@pytest.mark.parametrize("with_a_bad_line", [False, True])
def test_git_fields_may_be_nested_dotted_or_with_underscores(tmp_path: Path, with_a_bad_line: bool) -> None:
    shared = {name: RECORDS[0][name] for name in ("timestamp", "env", "version")}
    forms: dict[str, dict[str, object]] = {
        "a": {"git": {"commit": {"sha": SHA}, "repository_url": URL}},
        "b": {"git.commit.sha": SHA, "git.repository_url": URL},
        "c": {"git_commit_sha": SHA, "git_repository_url": URL},
        "d": {"git": {"commit.sha": SHA, "repository_url": URL}},
        "e": {"git": {"commit": None}, "git.commit.sha": SHA, "git_repository_url": URL},
    }
    content = jsonl(*({**shared, "service": service, **git} for service, git in forms.items()))
    found = reading(written(tmp_path / "x.jsonl", content + b"junk\n" * with_a_bad_line))
    told = found.activity.select("service", "commit_sha", "repository_id").rows()
    assert told == [(service, SHA, "github.com/organization/shop") for service in forms]
    assert reasons(found) == ["line_unreadable"] * with_a_bad_line


def test_a_commit_that_is_no_hash_is_left_out_and_its_sighting_stays(tmp_path: Path) -> None:
    shared = {"timestamp": "2026-03-01T10:00:00Z", "env": "prod", "version": "1"}
    commits = {"a": "main", "b": "ABCDEF1", "c": "abc", "d": 12, "e": " 66ADC93 "}
    content = jsonl(*({**shared, "service": name, "git_commit_sha": sha} for name, sha in commits.items()))
    found = reading(written(tmp_path / "x.jsonl", content))
    assert found.activity["commit_sha"].to_list() == [None, "abcdef1", None, None, "66adc93"]
    assert found.rejected.height == 0


@pytest.mark.parametrize("with_a_ragged_row", [False, True])
def test_quoted_cells_of_a_csv_may_hold_newlines_quotes_and_separators(tmp_path: Path, with_a_ragged_row: bool) -> None:
    names = ["two\nlines", 'say "hi"', "a,b;c", "\U0001f680 rocket", "x" * 10_000]
    rows: list[dict[str, object]] = [
        {"timestamp": "2026-03-01T10:00:00Z", "service": name, "version": "1", "env": "prod"} for name in names
    ]
    content = csv_bytes(*rows) + b"2026-03-01T10:00:00Z,short,1\n" * with_a_ragged_row
    found = reading(written(tmp_path / "x.csv", content))
    assert sorted(found.activity["service"]) == sorted(names)
    assert reasons(found) == ["line_unreadable"] * with_a_ragged_row


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.parquet"])
def test_a_service_may_have_any_letters_and_ten_thousand_of_them(tmp_path: Path, name: str) -> None:
    names = ["two\nlines", 'say "hi"', "back\\slash", "\U0001f680 rocket", "x" * 10_000]
    rows = [{"timestamp": "2026-03-01T10:00:00Z", "service": name, "version": "1", "env": "prod"} for name in names]
    contents = {
        "x.jsonl": jsonl(*rows),
        "x.json": json.dumps(rows).encode(),
        "x.parquet": parquet_bytes(pa.Table.from_pylist(rows)),
    }
    found = reading(written(tmp_path / name, contents[name]))
    assert sorted(found.activity["service"]) == sorted(names)
    assert found.rejected.height == 0


SECONDS = 1772359200  # 2026-03-01T10:00:00Z
PARQUET_TIMES = {
    "seconds": pa.array([SECONDS, None], pa.int64()),
    "milliseconds": pa.array([SECONDS * 10**3, None], pa.int64()),
    "unsigned microseconds": pa.array([SECONDS * 10**6, None], pa.uint64()),
    "nanoseconds": pa.array([SECONDS * 10**9, None], pa.int64()),
    "32 bits": pa.array([SECONDS, None], pa.int32()),
    "floats": pa.array([float(SECONDS), None], pa.float64()),
    "decimals": pa.array([SECONDS, None]).cast(pa.decimal128(22, 3)),
    "timestamp[ns] UTC": pa.array([SECONDS * 10**9, None], pa.timestamp("ns", "UTC")),
    "timestamp[ms] elsewhere": pa.array([SECONDS * 10**3, None], pa.timestamp("ms", "Europe/Berlin")),
    "texts": pa.array(["2026-03-01T10:00:00Z", None]),
    "dictionary of texts": pa.array(["2026-03-01T10:00:00Z", None]).dictionary_encode(),
    "views of texts": pa.array(["2026-03-01T10:00:00Z", None], pa.string_view()),
    "large texts of epochs": pa.array([str(SECONDS), None], pa.large_string()),
}


@pytest.mark.parametrize("form", PARQUET_TIMES)
def test_parquet_times_may_be_numbers_texts_or_timestamps_with_a_zone(tmp_path: Path, form: str) -> None:
    table = pa.table({"timestamp": PARQUET_TIMES[form], "service": ["shop", "late"], "version": ["1", "1"]})
    found = reading(written(tmp_path / "x.parquet", parquet_bytes(table)))
    assert found.activity["first_seen_at"].to_list() == [datetime(2026, 3, 1, 10, tzinfo=UTC)]
    assert reasons(found) == ["time_missing"]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (pa.array([SECONDS * 10**9], pa.timestamp("ns")), "time_without_zone"),
        (pa.array([date(2026, 3, 1)], pa.date32()), "time_without_zone"),
        (pa.array([True]), "time_unreadable"),
        (pa.array([b"2026"], pa.binary()), "time_unreadable"),
        (pa.array([[1]]), "time_unreadable"),
        (pa.array([float("nan")]), "time_unreadable"),
        (pa.nulls(1), "time_missing"),
    ],
)
def test_parquet_times_of_other_types_are_rejected(tmp_path: Path, times: pa.Array, reason: str) -> None:
    table = pa.table({"timestamp": times, "service": ["shop"], "version": ["1"]})
    assert reasons(reading(written(tmp_path / "x.parquet", parquet_bytes(table)))) == [reason]


def test_parquet_texts_may_be_dictionaries_views_bytes_or_nested_and_versions_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "timestamp": pa.array([SECONDS]),
            "service": pa.array(["shop"]).dictionary_encode(),
            "env": pa.array([b"prod"], pa.binary()),
            "version": pa.array([1712], pa.int32()),
            "git": pa.array([{"commit": {"sha": SHA}, "repository_url": URL}]),
            "team": pa.array(["web"], pa.string_view()),
            "hits": pa.array([7]).cast(pa.decimal128(20, 0)),
            "extra": pa.array([[1, 2]]),
        }
    )
    found = reading(written(tmp_path / "x.parquet", parquet_bytes(table)))
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert found.activity.rows() == [
        ("shop", "prod", "1712", at, at, SHA, "github.com/organization/shop", "web", 7, date(2026, 3, 1))
    ]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("service", pa.array([17])),
        ("service", pa.array([["shop"]])),
        ("service", pa.array([b"\xff"], pa.binary())),
        ("env", pa.array([True])),
        ("version", pa.array([1.1])),
        ("hits", pa.array([b"x"], pa.binary())),
        ("hits", pa.array(["many"], pa.string_view())),
        ("hits", pa.array([[1]])),
        ("hits", pa.array([True])),
        ("hits", pa.array([float("nan")])),
        ("hits", pa.array([date(2026, 3, 1)])),
    ],
)
def test_parquet_fields_of_unusable_types_are_rejected(tmp_path: Path, name: str, values: pa.Array) -> None:
    columns = {"timestamp": [SECONDS], "service": ["shop"], "env": ["prod"], "version": ["1"], name: values}
    found = reading(written(tmp_path / "x.parquet", parquet_bytes(pa.table(columns))))
    assert (reasons(found), found.activity.height) == (["field_type"], 0)
    assert f"{name} is of type" in found.rejected["payload"][0] or '"hits"' in found.rejected["payload"][0]


def test_reading_a_file_twice_gives_the_same_frames(tmp_path: Path) -> None:
    records = [
        {"timestamp": SECONDS + i * 977 % 200_000, "service": f"s{i % 7}", "env": "prod", "version": str(i % 3)}
        for i in range(3_000)
    ]
    path = written(tmp_path / "x.jsonl", jsonl(*records, {"service": "s"}, 5, {"timestamp": 5, "service": "s"}))
    one, other = reading(path), reading(path)
    assert_frame_equal(one.activity, other.activity)
    assert_frame_equal(one.rejected, other.rejected)
    assert one.records == other.records == 3_003


def test_a_file_that_grows_while_it_is_read_is_told_to_be_incomplete(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", jsonl(*RECORDS))
    done, grown = threading.Event(), threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as stream:
            while not done.is_set():
                stream.write(jsonl(RECORDS[2]))
                grown.set()

    [file] = export_files(tmp_path)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        grown.wait()
        found = read_export(file, Settings())
    finally:
        done.set()
        writer.join()
    assert not found.is_complete
    assert "shop" in found.activity["service"]


def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", jsonl(*RECORDS))
    [file] = export_files(tmp_path)
    path.unlink()
    with pytest.raises(SourceUnavailable, match=r"x\.jsonl cannot be read: No such file.*run again"):
        read_export(file, Settings())


PROGRAM = """
import os, sys
from pathlib import Path
from dora_pipeline.config import Settings
from dora_pipeline.errors import SourceUnavailable
from dora_pipeline.sources.apm.export_files import export_files
from dora_pipeline.sources.apm.export_reading import read_export
folder = Path(sys.argv[1])
[file] = export_files(folder)
os.chmod(file.path, 0)
os.chmod(folder.parent, 0)
if os.geteuid() == 0:
    os.setuid(65534)
for read in (lambda: read_export(file, Settings()), lambda: export_files(folder)):
    try:
        read()
    except SourceUnavailable as error:
        print(error)
"""


def test_a_file_and_a_folder_that_may_not_be_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    exports = tmp_path / "exports" / "apm"
    exports.mkdir(parents=True)
    written(exports / "x.csv", CONTENTS["x.csv"])
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(exports)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    exports.parent.chmod(0o755)
    assert "x.csv cannot be read: Permission denied; check that" in result.stdout
    assert "apm cannot be read: Permission denied; check its owner and mode" in result.stdout
