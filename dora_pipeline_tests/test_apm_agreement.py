"""One rule for a record whatever else its file holds: a record alone, read with care, is as among others, read fast.

Files are made of records that readers like to differ about. With `DORA_TEST_EXAMPLES=300` in the environment some
thousands of each kind are tried, and others each time.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from dora_pipeline.intake.web.bodies import DeploymentsListRequest
from dora_pipeline.intake.web.wire import WireError
from dora_pipeline.sources.apm.instants import REASONS, instants
from dora_pipeline.timeline import InstantError, instant
from dora_pipeline_tests.apm_exports import MODIFIED_AT, SHA, csv_bytes, jsonl, parquet_bytes, reading, written, zst
from dora_pipeline_tests.examples import TIMES, examples

DATABASE = duckdb.connect(config={"threads": 1})
FIXED = settings(
    max_examples=examples(10),
    derandomize=TIMES == 1,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if TIMES == 1 else [])],
    suppress_health_check=list(HealthCheck),
)

GOOD = {"timestamp": "2026-03-01T10:00:00Z", "service": "good", "env": "prod", "version": "1"}
JUNK = b"junk\n"
OTHER_SHA = "0123456"

# What readers differ about: texts, as they are.
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "shop",
            " shop ",
            "17",
            "1.10",
            "1e3",
            "-0",
            "01",
            "+1",
            "0x1F",
            "NaN",
            "Infinity",
            "null",
            "true",
            "N/A",
            "none",
            "[1]",
            '{"a": 1}',
            "\ufeffshop",
            "a\u2028b",
            "\x00",
            "\x0b",
            "\x0c",
            "\x1f",
            "\x85",
            "\xa0",
            "a\nb",
            "a\rb",
            "a\tb",
            'say "hi"',
            "back\\slash",
            "\U0001f680",
            ",}",
            ": NaN",
            "[inf",
            "a,b;c",
            "#",
            "//",
            SHA,
            OTHER_SHA,
            SHA.upper(),
            "abc",
            "x" * 3_000,
            "https://user:secret@github.com/Org/App.git",
        ]
    ),
    st.text(max_size=8),
)
TIMES = st.one_of(
    st.sampled_from(
        [
            "2026-03-01T10:00:00Z",
            "2026-03-01t10:00:00z",
            "2026-03-01 10:00:00Z",
            "2026-03-01T10:00:00,5Z",
            "2026-03-01T10:00:00.123456789Z",
            "2026-03-01T10:00:00.1234567890Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01",
            "2026-03-01T23:59:60Z",
            "2026-03-01T10:00:00+01",
            "2026-03-01T10:00:00+0100",
            "2026-03-01T10:00:00+01:00",
            "2026-03-01T10:00:00-23:59",
            "2026-03-01T10:00:00+24:00",
            "2026-03-01T10:00:00+01:60",
            "2026-03-01T10Z",
            "2026-03-01T10:00Z",
            "20260301T100000Z",
            "2026-W09-7T10:00:00Z",
            "2026-060T10:00:00Z",
            "2026-3-1T10:00:00Z",
            "2026-03-01T10:00:00 UTC",
            "2026-03-01T10:00:00 GMT",
            "2026-03-01T10:00:00 Z",
            "2026-03-01T10:00:00",
            "2026-03-01 10:00:00.5",
            "2026-03-01X10:00:00Z",
            "2026-03-01T10:00:00.Z",
            "2026-03-01T10:00:00ZZ",
            "1999-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            "1600-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-02-29T00:00:00Z",
            "2026-03-01T10:00:00+00:00:01",
            "2026-06-01T00:05:01Z",
            "",
            " ",
            "now",
            "0x69A40F20",
            "1772359200",
            " 1772359200 ",
            "1772359200000",
            "1772359200000000",
            "1772359200000000000",
            "+1772359200",
            "-1772359200",
            "1772359200.5",
            "1.7723592e9",
            "17723592e2",
            "1_772_359_200",
            "1772359200.",
            "1e400",
            "9" * 40,
            "9" * 19,
            "\u0661\u0667\u0667\u0662\u0663\u0665\u0669\u0662\u0660\u0660",
            "nan",
            "inf",
            "true",
            "Infinity",
        ]
    ),
    st.builds(
        "{}{}{}{}".format,
        st.dates(datetime(1999, 1, 1).date(), datetime(2030, 1, 1).date()),
        st.sampled_from(["T", "t", " ", "_", ""]),
        st.from_regex(r"\A[0-2]?[0-9](:?[0-6][0-9]){0,2}([.,][0-9]{0,10})?\Z"),
        st.one_of(st.sampled_from(["Z", "z", "", " Z"]), st.from_regex(r"\A[+-][0-2][0-9](:?[0-6][0-9])?\Z")),
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(1e9, 1e20).map(repr),
)
NUMBERS = st.sampled_from(
    [
        "0",
        "1",
        "17",
        "-0",
        "-1",
        "1.0",
        "1.5",
        "1e3",
        "1E+2",
        "1e400",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "NaN",
        "-Infinity",
        "1772359200",
        "1772359200000",
        "1772359200.5",
        "1.7723592e9",
        "17723592001234567890",
        "1234567",
        "9" * 30,
        "9" * 500,
        "9" * 5_000,
        "infinity",
        "nan",
    ]
)
OTHERS = st.sampled_from(
    [
        "null",
        "true",
        "false",
        "[]",
        "{}",
        '["shop"]',
        '{"commit": null}',
        "tru",
        "None",
        "'shop'",
        "",
        "[NaN]",
        "[1,]",
        "[" * 60 + "]" * 60,
        "[" * 101 + "]" * 101,
        "[" * 3_000 + "]" * 3_000,
        '{"a":' * 99 + "1" + "}" * 99,
    ]
)
ESCAPES = st.sampled_from(
    [
        r'"\ud83d"',
        r'"\udc00"',
        r'"\ud83d\ude80"',
        r'"\u0000"',
        r'"\u0073hop"',
        r'"\x"',
        r'"\u12"',
        '"\t"',
        '"open',
        r'"\\"',
    ]
)
KEYS = st.sampled_from(
    [
        "timestamp",
        "service",
        "env",
        "version",
        "team",
        "hits",
        "git.commit.sha",
        "git_commit_sha",
        "git.commit",
        "git",
        "git.repository_url",
        "git_repository_url",
        "Timestamp",
        "SERVICE",
        "extra",
        "data",
        "series",
        "type",
        "errors",
        "",
        r"\u0073ervice",
        r"git\u002ecommit.sha",
    ]
)
GIT = st.recursive(
    st.one_of(st.sampled_from([SHA, OTHER_SHA, "", "main", "https://github.com/o/r"]).map(json.dumps), NUMBERS, OTHERS),
    lambda inner: st.lists(
        st.tuples(st.sampled_from(["commit", "sha", "commit.sha", "repository_url", "x"]), inner), max_size=3
    ).map(lambda pairs: "{" + ",".join(f'"{key}": {value}' for key, value in pairs) + "}"),
    max_leaves=4,
)
VALUES: Mapping[str, st.SearchStrategy[str]] = {
    "timestamp": st.one_of(TIMES.map(json.dumps), NUMBERS, OTHERS),
    "hits": st.one_of(st.sampled_from(["1", "0", "2.6", '"5"', '" 3 "', '"1_000"', '"0x10"', '""']), NUMBERS, OTHERS),
    "git": GIT,
    "git.commit": GIT,
    "data": GIT,
}
ANY_VALUE = st.one_of(TEXTS.map(json.dumps), TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)))
ANY_VALUE = st.one_of(ANY_VALUE, ANY_VALUE, NUMBERS, OTHERS, ESCAPES)
USUAL = {name: json.dumps(value) for name, value in GOOD.items()} | {"service": '"shop"'}


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """A line of an object, the most of it usual, and at times of something else."""
    if draw(st.integers(0, 9)) == 0:
        junk = [
            b"",
            b" ",
            b"\x0c",
            b"\x00",
            b"null",
            b"17",
            b'"text"',
            b"[]",
            b"[1]",
            b"{}",
            b"{",
            b"}",
            b"{}{}",
            b"caf\xe9",
        ]
        return draw(st.one_of(st.sampled_from(junk), st.binary(max_size=6).map(lambda text: re.sub(b"\n", b"", text))))
    fields = list(USUAL.items())
    for key in draw(st.lists(KEYS, max_size=3)):
        if draw(st.booleans()):
            fields = [(name, value) for name, value in fields if name != key]
        fields.insert(draw(st.integers(0, len(fields))), (key, draw(VALUES.get(key, ANY_VALUE))))
    comma, colon = draw(st.sampled_from([",", ", ", " ,", "\r,"])), draw(st.sampled_from([":", ": ", " :\t"]))
    text = comma.join(f'"{key}"{colon}{value}' for key, value in fields)
    odd = ["{%s}"] * 12 + [
        " {%s} ",
        "{%s,}",
        "{%s}\r",
        "{%s}\r\r",
        "{%s}\x0c",
        "\x0b{%s}",
        "{%s},",
        "{%s}{%s}",
        "[{%s}]",
    ]
    odd += ["[{%s},{%s}]", "{%s/* */}", "{%s} // x", "\ufeff{%s}", "{%s", "%s}", "{%s}\x00", '{"data": [{%s}]}']
    whole = draw(st.sampled_from(odd)).replace("%s", text).encode("utf-8", "surrogatepass").replace(b"\n", b"")
    return draw(
        st.sampled_from([whole] * 12 + [whole.replace(b"shop", b"caf\xe9"), whole.decode("utf-8", "replace").encode()])
    )


@contextmanager
def few_bytes(first: int, block: int = 4 << 20) -> Iterator[None]:
    """From how many bytes on lines are read fast, and how many are a block."""
    with (
        # A database takes longer to open than a file to read.
        patch("dora_pipeline.sources.apm.json_texts.duckdb.connect", lambda config: DATABASE.cursor()),
        patch("dora_pipeline.sources.apm.json_texts._FEW_BYTES", first),
        patch("dora_pipeline.sources.apm.lines._BLOCK_BYTES", block),
    ):
        yield


Outcome = tuple[object, ...]
LONG_NUMBER = jsonl({**GOOD, "service": "shop"}).strip().replace(b"}", b', "team": ' + b"9" * 5_000 + b"}")
DEEPEST_LINE = (
    jsonl({**GOOD, "service": "shop", "extra": 0}).strip().replace(b": 0", b": " + b'{"a":' * 99 + b"1" + b"}" * 99)
)


def outcome(name: str, content: bytes) -> Outcome:
    """What a file tells besides the good records, and without the lines that are junk; places are not compared."""
    with TemporaryDirectory() as folder:
        found = reading(written(Path(folder) / name, content))
    rejects = []
    for row in found.rejected.iter_rows(named=True):
        payload = json.loads(row["payload"])
        if payload.get("text") == "junk":
            continue
        shown = {key: value for key, value in payload.items() if key not in ("file", "line", "item", "row")}
        rejects.append((row["reason"], row["service"], row["occurred_at"], row["day"], json.dumps(shown)))
    activity = [row for row in found.activity.rows() if row[0] != "good"]
    return (activity, found.deployments.rows(), sorted(map(repr, rejects)), found.is_damaged)


@FIXED
@example(LONG_NUMBER)
@example(DEEPEST_LINE)
@given(json_lines())
def test_a_line_of_json_is_told_alike_alone_and_among_others(line: bytes) -> None:
    good = jsonl(GOOD)
    content = good + line + b"\n" + good
    with few_bytes(1 << 30):
        alone = outcome("x.jsonl", content)
    with few_bytes(0):
        assert outcome("x.jsonl", content) == alone
        assert outcome("x.jsonl", content + JUNK) == alone
        assert outcome("x.ndjson.zst", zst(content.removesuffix(b"\n"))) == alone
    with few_bytes(0, block=len(good)):
        assert outcome("x.jsonl.gz", gzip.compress(content + JUNK)) == alone


@FIXED
@example(LONG_NUMBER)
@example(DEEPEST_LINE)
@given(json_lines())
def test_an_object_is_told_alike_in_a_line_and_in_an_array(line: bytes) -> None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        assume(False)
    assume(isinstance(value, dict) and b"\\ud" not in line and not line.startswith(b"\xef\xbb\xbf"))
    with few_bytes(1 << 30):
        alone = outcome("x.jsonl", jsonl(GOOD) + line + b"\n")
    in_array = outcome("x.json", b"[" + jsonl(GOOD).strip() + b",\n" + line + b"]")
    # What is no JSON costs its own line, or the whole document.
    assert in_array == alone or (in_array[3] and "line_unreadable" in repr(alone))


CELLS = st.one_of(TEXTS, TIMES, NUMBERS).map(lambda text: text.replace("\x00", "0"))
CSV_ROW = {name: str(value) for name, value in GOOD.items()} | {"service": "shop"}
COLUMNS = ("timestamp", "service", "env", "version", "team", "hits", "git.commit.sha", "git_commit_sha", "extra")


@st.composite
def csv_rows(draw: st.DrawFn) -> dict[str, str]:
    """A row, the most of it usual, with other columns besides."""
    row = {**GOOD, "service": "shop"}
    for key in draw(st.lists(st.sampled_from(COLUMNS), max_size=4)):
        row[key] = draw({"timestamp": TIMES}.get(key, CELLS))
    names = draw(st.permutations(list(row)))
    return {name: row[name] for name in names}


@FIXED
@example({**CSV_ROW, "extra": '"quoted"'}, "\t", "\xa0", False)
@example({**CSV_ROW, "hits": '"0x10"'}, ",", "\xa0", False)
@given(
    csv_rows(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["", "\r", ",", "\r\r", '"', "\xa0"]), st.booleans()
)
def test_a_row_of_a_csv_is_told_alike_alone_and_among_others(
    row: dict[str, str], separator: str, end: str, is_quoted: bool
) -> None:
    head, line = csv_bytes(row).decode("utf-8", "replace").split("\n", 1)
    if not is_quoted:
        line = ",".join(re.sub("[\n,]", "", cell) for cell in row.values()) + "\n"
    line = line.removesuffix("\n") + end + "\n"
    good = csv_bytes({name: GOOD.get(name, "") for name in row}).decode().split("\n", 1)[1]
    content, junk = f"{head}\n{good}{line}{good}", "junk\n"
    contents = [text.replace(",", separator).encode("utf-8", "surrogatepass") for text in (content, content + junk)]
    with few_bytes(0):
        assert outcome("x.csv", contents[0]) == outcome("x.csv", contents[1])
    with few_bytes(0, block=len(good)):
        assert outcome("x.csv.gz", gzip.compress(contents[0])) == outcome("x.csv.zst", zst(contents[1]))


@FIXED
@given(st.dictionaries(st.sampled_from(COLUMNS[:-1]), CELLS, max_size=4), TIMES)
def test_texts_are_told_alike_in_every_format(changes: dict[str, str], time: str) -> None:
    row = {
        name: text.replace("\r", "").replace('"', "") for name, text in ({**GOOD, "timestamp": time} | changes).items()
    }
    row = {name: text.encode("utf-8", "replace").decode().replace("\n", " ") for name, text in row.items()}
    row["service"] = row["service"].replace("good", "shop")
    by_json = outcome("x.jsonl", jsonl(row))
    columns = pa.Table.from_pylist([row])
    coded = pa.table({name: columns[name].dictionary_encode() for name in row})
    for name, content in {
        "x.csv": csv_bytes(row),
        "x.parquet": parquet_bytes(columns),
        "y.parquet": parquet_bytes(coded),
        "z.json": json.dumps([row], indent=1).encode(),
    }.items():
        found = outcome(name, content)
        assert (found[0], reasons(found)) == (by_json[0], reasons(by_json)), name


def reasons(found: Outcome) -> list[str]:
    rejects = found[2]
    assert isinstance(rejects, list)
    return [text.split(",")[0] for text in rejects]


NUMBER_TYPES = [pa.int64(), pa.float64(), pa.uint64(), pa.decimal128(38, 0), pa.int32(), pa.uint8()]


@FIXED
@example(pa.int64(), 2**53 + 1)
@given(
    st.sampled_from(NUMBER_TYPES), st.one_of(st.integers(0, 10**20), st.sampled_from([0, 17, 10**9 + 7, 1772359200]))
)
def test_numbers_are_told_alike_in_parquet_and_in_json(kind: pa.DataType, number: int) -> None:
    try:
        values = pa.array([number]).cast(kind) if number < 2**63 else pa.array([number], kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError):
        assume(False)
    shown = values[0].as_py()
    value = int(shown) if pa.types.is_decimal(kind) else shown
    for name in ("timestamp", "version", "hits", "service", "git_commit_sha"):
        row = {**GOOD, "service": "shop", name: value}
        columns = {key: values if key == name else pa.array([row[key]]) for key in row}
        by_table = outcome("x.parquet", parquet_bytes(pa.table(columns)))
        by_json = outcome("x.jsonl", jsonl(row))
        if name == "version" and pa.types.is_decimal(kind):
            continue
        assert (by_table[0], reasons(by_table)) == (by_json[0], reasons(by_json)), name


def told(times: Sequence[object], kind: pa.DataType | None = None) -> tuple[int, str]:
    """What the first of some times means."""
    at, wrong = instants(pa.array(times, kind), datetime(2300, 1, 1, tzinfo=UTC))
    return (0 if wrong[0] else int(at[0]), REASONS[wrong[0]])


@FIXED
@given(TIMES)
def test_a_time_means_the_same_in_an_export_beside_any_others_and_in_an_event(text: str) -> None:
    try:
        expected = ((instant(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), "")
    except InstantError as error:
        expected = (0, error.reason if text.strip() else "time_missing")
    usual, epoch = "2026-03-01T10:00:00Z", "1772359200"
    for beside in ([], [usual], [epoch], ["now"], [None], [usual, epoch, "now", None], ["2026-03-01T24:00:00Z"]):
        assert told([text, *beside], pa.string()) == expected, beside


@FIXED
@given(TIMES)
def test_a_time_that_a_search_of_the_intake_reads_is_that_of_exports(text: str) -> None:
    assume(not re.fullmatch(r"\s*-?[0-9.]+([eE][+-]?[0-9]+)?\s*", text))
    request = {"data": {"type": "dora_deployments_list_request", "attributes": {"from": text}}}
    try:
        moment, reason = DeploymentsListRequest.of(request).data.attributes.from_, ""
    except WireError:
        moment, reason = None, "refused"
    try:
        expected = instant(text)
    except InstantError as error:
        # A search may ask for what happened since ever.
        is_far = error.reason == "time_out_of_range"
        expected, reason = moment, reason.replace("refused", "" if not is_far else "refused")
        moment = moment if is_far else None
    assert (moment, reason) == (expected, "")


@FIXED
@example(1e305)
@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(946684800, 4102444800), st.floats()))
def test_a_number_means_the_same_in_every_type(number: float) -> None:
    try:
        expected = ((instant(number) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), "")
    except InstantError as error:
        expected = (0, error.reason)
    if isinstance(number, float) and not np.isfinite(number):
        assert told([number])[1] in ("time_unreadable", "time_out_of_range")
        return
    assert told([number]) == expected
    assert told([json.dumps(number)]) == expected
    assert told([json.dumps(number), "now"]) == expected
    if isinstance(number, int):
        assert told([number], pa.decimal128(38, 0)) == expected


def test_good_records_are_read_fast() -> None:
    """The tests above would hold as well if nothing were."""
    content = jsonl(*[GOOD] * 2_000, {**GOOD, "service": "shop"})
    with few_bytes(0), patch("dora_pipeline.sources.apm.json_texts._read_with_care", side_effect=AssertionError):
        assert outcome("x.jsonl", content)[0]
    rows = csv_bytes(*[GOOD] * 2_000, {**GOOD, "service": "shop"})
    with patch("dora_pipeline.sources.apm.csv_rows._row_entries", side_effect=AssertionError):
        assert outcome("x.csv", rows)[0]
    assert MODIFIED_AT
