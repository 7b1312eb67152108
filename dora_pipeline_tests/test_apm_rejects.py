"""Records of exports that cannot be used: each is rejected with its reason, and the rest of its file is read."""

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dora_pipeline.config import Settings
from dora_pipeline_tests.apm_exports import (
    ACTIVITY,
    MODIFIED_AT,
    RECORDS,
    csv_bytes,
    jsonl,
    parquet_bytes,
    reading,
    reasons,
    written,
    zst,
)

GOOD: dict[str, object] = {"timestamp": "2026-03-01T10:00:00Z", "service": "shop", "env": "prod", "version": "1"}


def test_half_a_last_line_is_rejected_and_the_rest_is_read(tmp_path: Path) -> None:
    found = reading(written(tmp_path / "x.jsonl", jsonl(*RECORDS) + jsonl(GOOD)[:40]))
    assert found.activity.rows() == ACTIVITY
    assert found.records == 4
    [row] = found.rejected.rows(named=True)
    assert (row["source"], row["event_type"], row["reason"]) == (
        "apm_deployment_tracking",
        "deployment",
        "line_unreadable",
    )
    assert (row["record"], row["service"], row["occurred_at"]) == ("line 4", None, None)
    assert (row["detected_at"], row["day"]) == (MODIFIED_AT, date(2026, 6, 1))
    assert json.loads(row["payload"]) == {"file": "x.jsonl", "line": 4, "text": jsonl(GOOD)[:40].decode()}


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_line_of_fifty_megabytes_is_rejected_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    good = {"x.jsonl": jsonl(*RECORDS), "x.csv": csv_bytes(*RECORDS)}[name]
    path = written(tmp_path / name, good)
    with path.open("ab") as stream:
        for _ in range(50):
            stream.write(b"y" * 10**6)
        stream.write(
            b"\n" + jsonl(RECORDS[0])
            if name == "x.jsonl"
            else b"\n" + csv_bytes(RECORDS[0]).splitlines(keepends=True)[1]
        )
    found = reading(path)
    assert found.activity["sightings"].to_list() == [1, 8]
    assert reasons(found) == ["line_too_long"]
    payload = json.loads(found.rejected["payload"][0])
    assert payload == {"file": name, "line": len(good.splitlines()) + 1, "text": "y" * 2000}


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.json"])
def test_a_file_in_utf_16_is_rejected_as_a_whole(tmp_path: Path, name: str) -> None:
    content = {"x.jsonl": jsonl(*RECORDS), "x.csv": csv_bytes(*RECORDS), "x.json": json.dumps(RECORDS).encode()}[name]
    found = reading(written(tmp_path / name, content.decode().encode("utf-16")))
    assert (reasons(found), found.activity.height) == (["file_unreadable"], 0)
    assert "UTF-8" in found.rejected["payload"][0]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_line_with_a_byte_of_latin_1_is_rejected_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    bad = {"x.jsonl": b'{"service":"caf\xe9"}\n', "x.csv": b"2026-03-01T10:00:00Z,caf\xe9,prod,1,,,,\n"}[name]
    good = {"x.jsonl": jsonl(*RECORDS), "x.csv": csv_bytes(*RECORDS)}[name]
    found = reading(written(tmp_path / name, good + bad))
    assert (reasons(found), found.activity.rows()) == (["line_unreadable"], ACTIVITY)
    assert "caf\ufffd" in json.loads(found.rejected["payload"][0])["text"]


@pytest.mark.parametrize(
    "line",
    [
        b"junk",
        b"null",
        b"17",
        b'"text"',
        b'{"service": "\\ud83d"}',
        b"\x00\x00",
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_object_is_rejected_with_its_number(tmp_path: Path, line: bytes) -> None:
    found = reading(written(tmp_path / "x.jsonl", b"\n" + line + b"\n\n" + jsonl(*RECORDS)))
    assert found.rejected.select("record", "reason").rows() == [("line 2", "line_unreadable")]
    assert found.activity.rows() == ACTIVITY


def test_credentials_in_a_bad_line_are_not_kept(tmp_path: Path) -> None:
    content = b'{"git.repository_url": "https://user:hunter2@github.com/a/b", \n'
    good = {**GOOD, "version": None, "git.repository_url": "https://user:hunter2@github.com/a/b"}
    found = reading(written(tmp_path / "x.jsonl", content + jsonl(good)))
    assert reasons(found) == ["line_unreadable", "version_missing"]
    assert not any("hunter2" in payload for payload in found.rejected["payload"])
    assert "github.com/a/b" in found.rejected["payload"][0]


def test_after_a_thousand_bad_lines_the_others_are_only_counted(tmp_path: Path) -> None:
    found = reading(written(tmp_path / "x.jsonl", b"junk\n" * 2_500 + jsonl(*RECORDS)))
    assert (found.records, found.rejected.height, found.activity.rows()) == (2_503, 1_001, ACTIVITY)
    [others] = found.rejected.filter(~found.rejected["record"].str.starts_with("line ")).rows(named=True)
    assert (others["reason"], others["records"], json.loads(others["payload"])) == (
        "line_unreadable",
        1_500,
        {"file": "x.jsonl"},
    )


@pytest.mark.parametrize("missing", ["timestamp", "service", "version"])
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_table_without_a_needed_column_is_rejected_naming_the_column(tmp_path: Path, name: str, missing: str) -> None:
    records = [{key: value for key, value in record.items() if key != missing} for record in RECORDS]
    content = csv_bytes(*records) if name == "x.csv" else parquet_bytes(pa.Table.from_pylist(records))
    found = reading(written(tmp_path / name, content))
    assert (reasons(found), found.activity.height) == (["column_missing"], 0)
    assert json.loads(found.rejected["payload"][0])["missing"] == [missing]


def test_a_table_may_lack_the_environment(tmp_path: Path) -> None:
    records = [{key: RECORDS[0][key] for key in ("timestamp", "service", "version")}]
    for name, content in {
        "x.csv": csv_bytes(*records),
        "y.parquet": parquet_bytes(pa.Table.from_pylist(records)),
    }.items():
        found = reading(written(tmp_path / name, content))
        assert found.activity.select("service", "env").rows() == [("shop", None)]


def test_rows_with_too_many_or_too_few_cells_are_rejected_with_their_lines(tmp_path: Path) -> None:
    content = (
        b"timestamp,service,version\n"
        b"2026-03-01T10:00:00Z,a,1\n"
        b"2026-03-01T10:00:00Z,b,1,extra\n"
        b"2026-03-01T10:00:00Z,c\n"
        b"\n"
        b'2026-03-01T10:00:00Z,"d\nd",1\n'
        b"2026-03-01T10:00:00Z,e,1\n"
    )
    found = reading(written(tmp_path / "x.csv", content))
    assert found.activity["service"].to_list() == ["a", "d\nd", "e"]
    assert found.rejected["record"].to_list() == ["line 3", "line 4"]
    assert reasons(found) == ["line_unreadable"] * 2


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    content = (
        b"timestamp,service,version\n"
        b'2026-03-01T10:00:00Z,"a,1\n'
        b"2026-03-01T10:00:00Z,b,1\n"
        b'2026-03-01T10:00:00Z,"c",1\n'
        b'2026-03-01T10:00:00Z,"d,1\n'
    )
    found = reading(written(tmp_path / "x.csv", content))
    assert found.activity["service"].to_list() == ["b", "c"]
    assert found.rejected["record"].to_list() == ["line 2", "line 5"]


REASONS: list[tuple[dict[str, object], str]] = [
    ({"service": None}, "service_missing"),
    ({"service": "  "}, "service_missing"),
    ({"version": ""}, "version_missing"),
    ({"version": None}, "version_missing"),
    ({"timestamp": None}, "time_missing"),
    ({"timestamp": ""}, "time_missing"),
    ({"timestamp": "yesterday"}, "time_unreadable"),
    ({"timestamp": "2026-02-30T10:00:00Z"}, "time_unreadable"),
    ({"timestamp": {"seconds": 1}}, "time_unreadable"),
    ({"timestamp": "2026-03-01T10:00:00"}, "time_without_zone"),
    ({"timestamp": "2026-03-01"}, "time_without_zone"),
    ({"timestamp": "1999-12-31T23:59:59Z"}, "time_out_of_range"),
    ({"timestamp": "2200-01-01T00:00:00Z"}, "time_out_of_range"),
    ({"timestamp": 17}, "time_out_of_range"),
    ({"timestamp": "2026-06-01T00:05:01Z"}, "time_in_future"),
    ({"service": 17}, "field_type"),
    ({"service": {"name": "shop"}}, "field_type"),
    ({"service": ["shop"]}, "field_type"),
    ({"service": True}, "field_type"),
    ({"env": {"name": "prod"}}, "field_type"),
    ({"version": 1.1}, "field_type"),
    ({"version": False}, "field_type"),
    ({"team": ["web"]}, "field_type"),
    ({"hits": "many"}, "field_type"),
    ({"hits": -1}, "field_type"),
    ({"hits": [1]}, "field_type"),
]


@pytest.mark.parametrize("with_a_bad_line", [False, True])
@pytest.mark.parametrize(("change", "reason"), REASONS)
def test_records_with_unusable_fields_are_rejected_with_the_reason(
    tmp_path: Path, change: dict[str, object], reason: str, with_a_bad_line: bool
) -> None:
    content = jsonl(GOOD, {**GOOD, **change}) + b"junk\n" * with_a_bad_line
    found = reading(written(tmp_path / "x.jsonl", content))
    assert reasons(found) == sorted([reason, *["line_unreadable"] * with_a_bad_line])
    if reason == "field_type":
        [name] = change
        assert f'"{name}' in "".join(found.rejected["payload"]) or f"{name} is " in "".join(found.rejected["payload"])
    assert found.activity["sightings"].to_list() == [1]
    assert found.records == 2 + with_a_bad_line


def test_the_year_55634_is_out_of_range(tmp_path: Path) -> None:
    # Milliseconds written where seconds were meant, in each way to write them.
    records = [{**GOOD, "timestamp": "+55634-01-01T00:00:00Z"}, {**GOOD, "timestamp": 1693492800000 * 10**6 * 10**3}]
    found = reading(written(tmp_path / "x.jsonl", jsonl(*records)))
    assert set(reasons(found)) <= {"time_out_of_range", "time_unreadable"}
    table = pa.table(
        {"timestamp": pa.array([1693492800000], pa.timestamp("s", "UTC")), "service": ["shop"], "version": ["1"]}
    )
    assert reasons(reading(written(tmp_path / "y.parquet", parquet_bytes(table)))) == ["time_out_of_range"]


def test_a_time_just_inside_the_tolerance_is_no_future(tmp_path: Path) -> None:
    found = reading(written(tmp_path / "x.jsonl", jsonl({**GOOD, "timestamp": "2026-06-01T00:05:00Z"})))
    assert (found.activity.height, found.rejected.height) == (1, 0)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
@pytest.mark.parametrize(
    "time",
    [
        1772359200,
        1772359200000,
        1772359200000000,
        1772359200000000000,
        "1772359200",
        "1772359200000",
        1772359200.5,
        " 1772359200 ",
        "2026-03-01 10:00:00+00:00",
        "2026-03-01T10:00:00.123456789Z",
        "20260301T100000Z",
        "2026-03-01T11:00+01:00",
    ],
)
def test_times_may_be_epochs_of_any_unit_or_iso_texts_with_an_offset(tmp_path: Path, name: str, time: object) -> None:
    records = [GOOD | {"timestamp": time, "service": "other"}, GOOD]
    content = csv_bytes(*records) if name == "x.csv" else jsonl(*records)
    found = reading(written(tmp_path / name, content))
    fraction = {1772359200.5: 500_000, "2026-03-01T10:00:00.123456789Z": 123_456}.get(time, 0)
    assert found.activity["first_seen_at"].to_list() == [
        datetime(2026, 3, 1, 10, 0, 0, fraction, UTC),
        datetime(2026, 3, 1, 10, tzinfo=UTC),
    ]


def test_unusable_records_are_shown_each_and_those_after_a_thousand_by_kind_and_day(tmp_path: Path) -> None:
    days = ["2026-03-01T22:30:00Z", "2026-03-01T23:30:00Z", "2026-03-01T22:15:00Z", "2026-03-03T10:00:00Z"]
    first = [{**GOOD, "version": None, "number": number} for number in range(1_000)]
    records = [{**GOOD, "timestamp": day, "version": None, "env": env} for day in days for env in ("prod", "prd")]
    records += [{**GOOD, "version": None, "service": "cart", "env": None}]
    settings = Settings(timezone="Europe/Berlin", environments={"production": ("prod", "prd")})
    found = reading(written(tmp_path / "x.jsonl", jsonl(*first, *records)), settings)
    is_first = found.rejected["record"].is_in([f"line {number}" for number in range(1, 1_001)])
    payloads = [json.loads(text) for text in found.rejected.filter(is_first)["payload"]]
    assert sorted((payload["line"], payload["record"]["number"]) for payload in payloads) == [
        (number + 1, number) for number in range(1_000)
    ]
    others = found.rejected.filter(~is_first).sort("service", "day")
    assert others.select("service", "occurred_at", "day", "records").rows() == [
        ("cart", datetime(2026, 3, 1, 10, tzinfo=UTC), date(2026, 3, 1), 1),
        ("shop", datetime(2026, 3, 1, 22, 15, tzinfo=UTC), date(2026, 3, 1), 4),
        ("shop", datetime(2026, 3, 1, 23, 30, tzinfo=UTC), date(2026, 3, 2), 2),
        ("shop", datetime(2026, 3, 3, 10, tzinfo=UTC), date(2026, 3, 3), 2),
    ]
    payloads = [json.loads(text) for text in others["payload"]]
    assert [payload["line"] for payload in payloads] == [1_009, 1_001, 1_003, 1_007]
    assert payloads[1]["record"] == records[0]
    assert found.rejected["record"].n_unique() == found.rejected.height == 1_004
    assert found.rejected["records"].sum() == found.records == 1_009


def test_records_without_hits_are_one_sighting_and_those_with_none_are_no_sighting(tmp_path: Path) -> None:
    hits: list[object] = [None, 0, 4, "5", 2.6, 0.2, ""]
    content = jsonl(*({**GOOD, "hits": value, "service": f"s{i}"} for i, value in enumerate(hits)))
    found = reading(written(tmp_path / "x.jsonl", content))
    told = dict(found.activity.select("service", "sightings").iter_rows())
    assert told == {"s0": 1, "s2": 4, "s3": 5, "s4": 3, "s5": 1, "s6": 1}
    assert (found.rejected.height, found.records) == (0, 7)


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.zst", "x.parquet", "x.json.gz"])
def test_a_file_that_is_not_what_its_name_says_is_rejected(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, b"this is neither packed nor a table"))
    assert (reasons(found), found.records, found.activity.height) == (["file_unreadable"], 0, 0)


def test_a_json_document_that_is_cut_is_rejected(tmp_path: Path) -> None:
    found = reading(written(tmp_path / "x.json", json.dumps(RECORDS, indent=1).encode()[:-30]))
    assert "file_unreadable" in reasons(found)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_bad_lines_of_a_large_file_are_told_with_their_numbers_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    record = {**GOOD, "note": "n" * 200}
    head, line = csv_bytes(record).splitlines(keepends=True) if name == "x.csv" else (b"", jsonl(record))
    before = len(head.splitlines())
    path = written(tmp_path / name, head + line * 80_000 + b"junk\n" + line * 80_000 + line[:30])
    found = reading(path)
    assert sorted(found.rejected["record"]) == sorted([f"line {before + 80_001}", f"line {before + 160_002}"])
    assert found.activity["sightings"].to_list() == [160_000]
    assert found.records == 160_002


def test_a_last_column_that_is_often_empty_costs_no_record(tmp_path: Path) -> None:
    records = [{**GOOD, "service": f"s{i}", "team": "web" if i % 2 else None} for i in range(4)]
    found = reading(written(tmp_path / "x.csv", csv_bytes(*records)))
    assert found.activity.select("service", "team").rows() == [("s0", None), ("s1", "web"), ("s2", None), ("s3", "web")]
    assert found.rejected.height == 0


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


MANY = [{**GOOD, "service": f"service-{i * 7919 % 100_003}", "timestamp": 1772359200 + i} for i in range(20_000)]
PACKED = {
    "x.jsonl.gz": gzip.compress(jsonl(*MANY)),
    "x.csv.gz": gzip.compress(csv_bytes(*MANY)),
    "x.jsonl.zst": zst(jsonl(*MANY)),
    "y.jsonl.gz": gzip.compress(jsonl(*MANY[:10_000])) + gzip.compress(jsonl(*MANY[10_000:])),
    "x.parquet": parquet_bytes(pa.Table.from_pylist(MANY), write_page_checksum=True),
}


@pytest.mark.parametrize("name", [name for name in PACKED if not name.endswith(".zst")])
def test_nothing_of_a_file_with_a_flipped_bit_is_taken(tmp_path: Path, name: str) -> None:
    content = PACKED[name]
    for eighth in range(1, 8):
        found = reading(written(tmp_path / name, damaged(content, len(content) * eighth // 8 + 100)))
        assert (found.is_damaged, found.activity.height, found.records) == (True, 0, 0)
        assert reasons(found) == ["file_unreadable"]
        assert json.loads(found.rejected["payload"][0])["file"] == name


@pytest.mark.parametrize("name", PACKED)
def test_nothing_of_a_cut_file_is_taken(tmp_path: Path, name: str) -> None:
    found = reading(written(tmp_path / name, PACKED[name][: len(PACKED[name]) * 3 // 4]))
    assert (found.is_damaged, found.activity.height, reasons(found)) == (True, 0, ["file_unreadable"])


def test_a_file_packed_in_several_parts_is_read_whole(tmp_path: Path) -> None:
    found = reading(written(tmp_path / "x.jsonl.gz", PACKED["y.jsonl.gz"]))
    assert (found.is_damaged, found.activity.height) == (False, 20_000)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_records_without_a_zone_are_rejected_where_no_record_has_hits(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, object]] = [
        {"timestamp": f"2024-05-06 07:08:0{second}", "service": "shop", "version": "1"} for second in (8, 9)
    ]
    table = pa.Table.from_pylist(rows)
    naive = table.set_column(0, "timestamp", table["timestamp"].cast(pa.timestamp("us")))
    found = reading(written(tmp_path / name, csv_bytes(*rows) if name == "x.csv" else parquet_bytes(naive)))
    assert reasons(found) == ["time_without_zone"] * 2
    payloads = [json.loads(text) for text in found.rejected["payload"]]
    assert [payload["record"]["timestamp"] for payload in payloads] == ["2024-05-06 07:08:08", "2024-05-06 07:08:09"]
    assert [payload.get("line") for payload in payloads] == ([2, 3] if name == "x.csv" else [None] * 2)
    assert [payload.get("row") for payload in payloads] == ([1, 2] if name == "x.parquet" else [None] * 2)


@pytest.mark.parametrize("version", ["N/A", "n/a", " none ", "NULL", "Unknown", ""])
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_a_version_that_says_that_there_is_none_is_no_version(tmp_path: Path, name: str, version: str) -> None:
    rows = [GOOD, {**GOOD, "service": "cart", "version": version}]
    contents = {
        "x.jsonl": jsonl(*rows),
        "x.csv": csv_bytes(*rows),
        "x.parquet": parquet_bytes(pa.Table.from_pylist(rows)),
    }
    found = reading(written(tmp_path / name, contents[name]))
    assert (found.activity["service"].to_list(), reasons(found)) == (["shop"], ["version_missing"])
    assert found.rejected["service"].to_list() == ["cart"]


def test_a_record_whose_keys_are_in_other_case_is_shown_as_it_came_with_its_place(tmp_path: Path) -> None:
    record = {"Timestamp": "2024-05-06T07:08:09Z", "Service": "shop", "Version": "1", "note": "n" * 3_000}
    found = reading(written(tmp_path / "x.jsonl", jsonl(GOOD, record)))
    assert reasons(found) == ["time_missing"]
    shown = {**record, "note": "n" * 2_000}
    assert json.loads(found.rejected["payload"][0]) == {"file": "x.jsonl", "line": 2, "record": shown}


def test_a_record_of_very_many_fields_is_cut(tmp_path: Path) -> None:
    record = {**GOOD, "version": None} | {f"field-{i}": "x" * 100 for i in range(1_000)}
    found = reading(written(tmp_path / "x.jsonl", jsonl(record)))
    [payload] = found.rejected["payload"]
    assert len(payload) < 20_000
    assert json.loads(payload)["record"].startswith('{"timestamp": "2026-03-01T10:00:00Z", ')


def test_credentials_of_a_shown_record_are_not_kept(tmp_path: Path) -> None:
    record = {**GOOD, "version": None, "git.repository_url": "https://user:hunter2@github.com/a/b"}
    for name, content in {
        "x.jsonl": jsonl(record),
        "x.csv": csv_bytes(record),
        "x.json": json.dumps([record]).encode(),
        "x.parquet": parquet_bytes(pa.Table.from_pylist([record])),
    }.items():
        [payload] = reading(written(tmp_path / name, content)).rejected["payload"]
        assert "hunter2" not in payload
        assert json.loads(payload)["record"]["git.repository_url"] == "https://github.com/a/b"
