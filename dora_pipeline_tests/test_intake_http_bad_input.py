"""Bad input over HTTP: each kind gets one clear answer, nothing of it is stored, and the server goes on."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore, StoredEvent
from dora_pipeline.intake.store.event import SentEvent
from dora_pipeline.intake.store.search import condition
from dora_pipeline.intake.web.bodies import DeploymentRequest, attributes_of
from dora_pipeline.intake.web.webhooks import delivery
from dora_pipeline.intake.web.wire import json_object
from dora_pipeline_tests.costs import processor_seconds
from dora_pipeline_tests.intake_servers import API_KEY, Client, running_intake
from dora_pipeline_tests.test_intake_search import LONGEST
from dora_pipeline_tests.waiting import PATIENCE

SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"
NOON = 1_714_996_800
GOOD: dict[str, Any] = {"service": "good", "started_at": NOON, "finished_at": NOON}
LARGEST = 1024 * 1024
EARLY = datetime(2024, 5, 6, tzinfo=UTC)
NO_EPOCH = 'attribute "{}" must be a whole number: Unix time in seconds, milliseconds, microseconds or nanoseconds'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, str]]:
    home = Home(tmp_path_factory.mktemp("served") / "home")
    with running_intake(home, "--rate-limit", "0") as url:
        yield home, url


@pytest.fixture
def client(served: tuple[Home, str]) -> Iterator[Client]:
    """A client; what it sends in the test must leave the store as it was."""
    with EventStore.at(served[0]) as store:
        before = (store.changed_since("deployment", 0), store.changed_since("failure", 0))
        client = Client(served[1])
        yield client
        client.close()
        assert (store.changed_since("deployment", 0), store.changed_since("failure", 0)) == before


def body(**changes: Any) -> dict[str, Any]:
    """A good deployment with changes; None takes an attribute out."""
    attributes = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return {"data": {"attributes": attributes}}


def nested(depth: int) -> Any:
    """An object with so many levels below it."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def missing(name: str) -> str:
    return f'Missing required attribute in body: "{name}"'


TEXTS: list[tuple[str, bytes, str]] = [
    ("no body", b"", "the body is empty; send a JSON object"),
    ("blanks", b" \n ", "the body is empty; send a JSON object"),
    ("cut JSON", b'{"data": {"attributes": {"ser', "the body is not JSON: Unterminated string starting at"),
    ("a form", b"service=shop&started_at=1", "the body is not JSON: Expecting value"),
    ("more after the end", b"{} {}", "the body is not JSON: Extra data"),
    ("a list", b"[1]", "the body must be a JSON object"),
    ("null", b"null", "the body must be a JSON object"),
    ("a text", b'"data"', "the body must be a JSON object"),
    ("invalid UTF-8", b'{"data": "\xff"}', "the body is not UTF-8 text (byte 10)"),
    ("UTF-16", '{"data": 1}'.encode("utf-16"), "the body is not UTF-8 text (byte 0)"),
    ("NaN", b'{"data": NaN}', "the body is not JSON: NaN is no number of JSON"),
    ("Infinity", b'{"data": [-Infinity]}', "the body is not JSON: -Infinity is no number of JSON"),
    ("a number beyond doubles", b'{"data": 1e999}', "the body is not JSON: a number is too large"),
    ("a number of 5,000 digits", b'{"data": ' + b"9" * 5000 + b"}", "a number has more than 40 digits"),
    ("equal keys", b'{"data": {"a": 1, "b": 2, "a": 1}}', 'the key "a" stands twice in an object'),
    ("33 levels", json.dumps({"data": nested(32)}).encode(), "the body is nested more than 32 levels deep"),
    ("500,000 levels", b'{"data": ' + b"[" * 500_000, "the body is nested more than 32 levels deep"),
    ("1,001 values", json.dumps({"data": [1] * 999}).encode(), "the body holds more than 1,000 values"),
    ("a long text", json.dumps({"data": "x" * 10_001}).encode(), "is longer than 10,000 characters"),
    ("a long key", json.dumps({"x" * 10_001: 1}).encode(), "is longer than 10,000 characters"),
    ("a NUL", json.dumps(body(version="a\0b")).encode(), 'the text "a\\u0000b" holds a NUL character'),
    ("a NUL in a key", b'{"a\\u0000": 1}', 'the text "a\\u0000" holds a NUL character'),
]


@pytest.mark.parametrize(("content", "detail"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_body_that_is_no_usable_json_is_a_400(client: Client, content: bytes, detail: str) -> None:
    answer = client("POST", "/api/v2/dora/deployment", content)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["status"], error["title"]) == (400, "400", "Bad Request")
    assert detail in error["detail"]


DEPLOYMENTS: list[tuple[str, Any, list[str]]] = [
    ("an empty object", {}, [missing("data")]),
    ("data null", {"data": None}, ['attribute "data" must be an object']),
    ("data a list", {"data": [GOOD]}, ['attribute "data" must be an object']),
    ("no attributes", {"data": {}}, [missing("data.attributes")]),
    ("attributes a text", {"data": {"attributes": "x"}}, ['attribute "data.attributes" must be an object']),
    (
        "nothing told",
        {"data": {"attributes": {}}},
        [missing("service"), missing("started_at"), missing("finished_at")],
    ),
    ("no service", body(service=None), [missing("service")]),
    ("a blank service", body(service="  "), ['attribute "service" must not be blank']),
    ("a service of another type", body(service=["a"]), ['attribute "service" must be text']),
    ("no start", body(started_at=None), [missing("started_at")]),
    ("no finish", body(finished_at=None), [missing("finished_at")]),
    ("a start of text", body(started_at="1714996800"), [NO_EPOCH.format("started_at")]),
    ("a start in RFC 3339", body(started_at="2024-05-06T12:00:00Z"), ['attribute "started_at" must be a whole']),
    ("a start that is true", body(started_at=True), [NO_EPOCH.format("started_at")]),
    ("a start with a fraction", body(started_at=1714996800.5), [NO_EPOCH.format("started_at")]),
    ("a start beyond int64", body(started_at=2**63), ['attribute "started_at" must be a whole number of 64 bits']),
    ("a start of 1e300", body(started_at=1e300), ['attribute "started_at" must be a whole number of 64 bits']),
    ("an env in a list", body(env=["prod"]), ['attribute "env" must be text']),
    ("a version of a number", body(version=1.2), ['attribute "version" must be text']),
    ("a team of an object", body(team={}), ['attribute "team" must be text']),
    ("a short id", body(id="x" * 15), ['attribute "id" must match']),
    ("a long id", body(id="x" * 129), ['attribute "id" must match']),
    ("an id of other characters", body(id="x" * 16 + "/"), ['attribute "id" must match']),
    ("an id that ends in a line", body(id="x" * 16 + "\n"), ['attribute "id" must match']),
    ("git without its commit", body(git={"repository_url": "x"}), [missing("git.commit_sha")]),
    ("an empty git", body(git={}), [missing("git.repository_url"), missing("git.commit_sha")]),
    (
        "a short sha",
        body(git={"repository_url": "x", "commit_sha": SHA[:39]}),
        ['attribute "git.commit_sha" must match ^[a-fA-F0-9]{40,}$'],
    ),
    (
        "a branch for a sha",
        body(git={"repository_url": " ", "commit_sha": "main"}),
        ['attribute "git.repository_url" must not be blank', 'attribute "git.commit_sha" must match'],
    ),
    ("101 tags", body(custom_tags=["a:b"] * 101), ['attribute "custom_tags" must have at most 100 items']),
    ("tags without a colon", body(custom_tags=["a:b", "x"]), ['attribute "custom_tags.1" must match']),
    ("a tag without a key", body(custom_tags=[":b"]), ['attribute "custom_tags.0" must match']),
    ("tags of a text", body(custom_tags="a:b"), ['attribute "custom_tags" must be a list']),
    ("a mark of PATCH", body(change_failure=True), ['attribute "change_failure" is set by PATCH, not here']),
    (
        "many mistakes",
        body(service=1, started_at=None, finished_at="x", env=2, custom_tags=[1]),
        ['"service" must be text', missing("started_at"), '"finished_at" must be', '"env" must be', '"custom_tags.0"'],
    ),
]
FAILURES: list[tuple[str, Any, list[str]]] = [
    ("nobody named", {"started_at": NOON}, [missing("services").replace('"services"', '"services" or "team"')]),
    ("no services", {"started_at": NOON, "services": [], "team": " "}, ['"services" or "team"']),
    ("a blank service", {"started_at": NOON, "services": ["a", ""]}, ['attribute "services.1" must not be blank']),
    ("a single service", {"started_at": NOON, "services": "a"}, ['attribute "services" must be a list']),
    ("no start", {"services": ["a"]}, [missing("started_at")]),
    ("an end of text", {"services": ["a"], "started_at": 1, "finished_at": ""}, ['"finished_at" must be a whole']),
    ("a severity of a number", {"team": "a", "started_at": 1, "severity": 1}, ['attribute "severity" must be text']),
    ("nothing", {}, [missing("started_at"), '"services" or "team"']),
]
LISTS: list[tuple[str, Any, list[str]]] = [
    ("a from of a number", {"from": NOON}, ['error decoding attribute "from": invalid type number']),
    ("a to of a fraction", {"to": 1.5}, ['error decoding attribute "to": invalid type number']),
    ("a naive from", {"from": "2025-03-23T00:00:00"}, ['attribute "from" must be a time of RFC 3339']),
    ("a day for a from", {"from": "2025-03-23"}, ['attribute "from" must be a time of RFC 3339']),
    ("a from that is no time", {"from": "yesterday"}, ['attribute "from" must be a time of RFC 3339']),
    ("a from before all time", {"from": "0001-01-01T00:00:00+24:00"}, ['attribute "from" must be a time']),
    ("a limit of 0", {"limit": 0}, ['attribute "limit" must be greater than or equal to 1']),
    ("a limit of 1001", {"limit": 1001}, ['attribute "limit" must be less than or equal to 1000']),
    ("a limit of text", {"limit": "10"}, ['attribute "limit" must be a whole number']),
    ("another sort", {"sort": "service"}, ['attribute "sort" must be one of "started_at -started_at finished_at']),
    ("an open parenthesis", {"query": "service:(a OR"}, ['attribute "query": the query cannot be read at character']),
    ("a query of a list", {"query": ["a"]}, ['attribute "query" must be text']),
]


def _refused(client: Client, path: str, content: Any, details: list[str]) -> None:
    answer = client("POST", f"/api/v2/dora/{path}", content)
    assert answer.status_code == 400
    told = [error["detail"] for error in answer.json()["errors"]]
    assert len(told) == len(details), told
    assert all(detail in one for one, detail in zip(told, details, strict=True)), told


@pytest.mark.parametrize(("content", "details"), [c[1:] for c in DEPLOYMENTS], ids=[c[0] for c in DEPLOYMENTS])
def test_a_wrong_deployment_is_a_400_with_every_mistake(client: Client, content: Any, details: list[str]) -> None:
    _refused(client, "deployment", content, details)


@pytest.mark.parametrize(("attributes", "details"), [c[1:] for c in FAILURES], ids=[c[0] for c in FAILURES])
def test_a_wrong_failure_is_a_400_with_every_mistake(client: Client, attributes: Any, details: list[str]) -> None:
    for path in ("failure", "incident"):
        _refused(client, path, {"data": {"attributes": attributes}}, details)


@pytest.mark.parametrize(("attributes", "details"), [c[1:] for c in LISTS], ids=[c[0] for c in LISTS])
def test_a_wrong_list_is_a_400_with_every_mistake(client: Client, attributes: Any, details: list[str]) -> None:
    for kind in ("deployments", "failures"):
        _refused(client, kind, {"data": {"type": f"dora_{kind}_list_request", "attributes": attributes}}, details)


@pytest.mark.parametrize("told", [None, "", "dora_failures_list_request", 5])
def test_a_list_must_say_its_type(client: Client, told: object) -> None:
    content = {"data": {"attributes": {}} if told is None else {"type": told, "attributes": {}}}
    shown = told if isinstance(told, str) else ""
    _refused(client, "deployments", content, [f'got type "{shown}" expected one of "dora_deployments_list_request"'])


@pytest.mark.parametrize(
    ("headers", "content", "status", "told"),
    [
        ({"Content_Type": "application/x-www-form-urlencoded"}, b"{}", 415, "Content-Type must be application/json"),
        ({"Content_Type": ""}, b"{}", 415, "Content-Type must be application/json"),
        ({"Content_Encoding": "br"}, b"{}", 415, "Content-Encoding must be gzip or deflate, or none"),
        ({"Content_Encoding": "gzip, gzip"}, b"{}", 415, "Content-Encoding must be gzip or deflate, or none"),
        ({}, b" " * (LARGEST + 1), 413, "the body is larger than 1,048,576 bytes"),
        ({"Content_Encoding": "gzip"}, gzip.compress(b" " * (LARGEST + 1), mtime=0), 413, "the body is larger than"),
        ({"Content_Encoding": "gzip"}, gzip.compress(b" " * 30 * LARGEST, mtime=0), 413, "the body is larger than"),
        ({"Content_Encoding": "deflate"}, zlib.compress(b" " * (LARGEST + 1)), 413, "the body is larger than"),
    ],
)
def test_a_body_of_another_type_or_size_is_refused(
    client: Client, headers: dict[str, str], content: bytes, status: int, told: str
) -> None:
    answer = client("POST", "/api/v2/dora/deployment", content, **headers)
    assert answer.status_code == status
    assert told in answer.json()["errors"][0]
    assert answer.headers["content-type"] == "application/vnd.api+json"


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4]),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more"),
        ("gzip", b""),
        ("deflate", gzip.compress(b"{}", mtime=0)[5:]),
    ],
)
def test_a_broken_compression_is_a_400(client: Client, encoding: str, content: bytes) -> None:
    answer = client("POST", "/api/v2/dora/deployment", content, Content_Encoding=encoding)
    assert answer.status_code == 400
    assert encoding in answer.json()["errors"][0]["detail"]


def _padded(start: bytes, piece: bytes, end: bytes) -> bytes:
    """The start, as many pieces as fit into the largest body, and the end."""
    return start + piece * ((LARGEST - len(start) - len(end)) // len(piece)) + end


_KEYS = b",".join(b'"k%d":0' % number for number in range(80_000))
_GOOD = b'{"data":{"attributes":{"service":"good","started_at":1714996800,"finished_at":1714996800,"more":'
COSTLY: dict[str, bytes] = {
    "80,000 keys and an equal one": b'{"first":0,' + _KEYS + b',"first":0}',
    "80,000 keys and equal ones at the end": b"{" + _KEYS + b',"last":0,"last":0}',
    "80,000 keys": b"{" + _KEYS + b"}",
    "equal keys only": _padded(b"{", b'"a":0,', b'"a":0}'),
    "a whole number of a million digits": _padded(b'{"data":', b"9", b"}"),
    "a fraction of a million digits": _padded(b'{"data":0.', b"9", b"}"),
    "an exponent of a million digits": _padded(b'{"data":1e-', b"9", b"}"),
    "a list of a million levels": _padded(b'{"data":', b"[", b""),
    "an object of many levels": _padded(b"", b'{"a":', b""),
    "a text of a million characters": _padded(b'{"data":"', b"x", b'"}'),
    "a text that never ends": _padded(b'{"data":"', b"x", b""),
    "halves of pairs": _padded(b'{"data":"', rb"\ud83d", b'"}'),
    "backslashes": _padded(b'{"data":"', rb"\\", b'"}'),
    "lines": _padded(b"{", b"\n", b"x"),
    "commas": _padded(b'{"data":[', b"0,", b"0]}"),
    "mistakes": _padded(b'{"data":{"attributes":{"custom_tags":[', b"1,", b"1]}}}"),
    "addresses": _GOOD + b"[" + b",".join([b'"' + b"://a:" * 1_900 + b'@"'] * 100) + b"]}}}",
    "addresses that could have passwords": _GOOD + b"[" + b",".join([b'"' + b"://a:b/" * 1_400 + b'"'] * 100) + b"]}}}",
    "colons": _GOOD + b"[" + b",".join([b'"://' + b":" * 9_900 + b'"'] * 100) + b"]}}}",
    "at signs": _GOOD + b"[" + b",".join([b'"://' + b"a@" * 4_900 + b'/"'] * 100) + b"]}}}",
}


def _taken(content: bytes) -> None:
    with suppress(ValueError):
        read = DeploymentRequest.of(json_object(content))
        SentEvent.of("deployment", attributes_of(read.data.attributes))


def _delivered(content: bytes) -> None:
    with suppress(ValueError):
        delivery(content, {"X-PagerDuty-Signature": "v1=" + ",v1=" * 10_000}, [])


@pytest.mark.parametrize("content", COSTLY.values(), ids=COSTLY.keys())
@pytest.mark.parametrize("take", [_taken, _delivered], ids=["event", "delivery"])
def test_a_body_costs_no_more_than_a_few_times_its_reading(content: bytes, take: Callable[[bytes], None]) -> None:
    assert len(content) <= LARGEST
    # What a list of as many bytes costs to read.
    plain = _padded(b"[", b'"0123456789",', b'""]')
    assert processor_seconds(lambda: take(content)) < 300 * processor_seconds(lambda: json.loads(plain))


@pytest.mark.parametrize(
    "query", ["service:" + "a" * 8_000, "a" * 8_000, "(" * 8_000, '"' * 8_000, "service:" + "*a" * 4_000]
)
def test_a_query_costs_little_to_read_and_to_answer(query: str) -> None:
    event = StoredEvent(1, "deployment", "x", EARLY, EARLY, False, {"service": "a" * 10_000})

    def answer() -> None:
        with suppress(ValueError):
            condition(query).matches(event)

    assert processor_seconds(answer) < 20 * processor_seconds(lambda: condition(LONGEST).matches(event))


def test_a_body_of_20000_keys_and_one_that_stands_twice_is_a_400(client: Client) -> None:
    content = b"{" + b",".join(b'"%d":0' % number for number in range(20_000)) + b',"7":0}'
    answer = client("POST", "/api/v2/dora/deployment", content)
    assert answer.status_code == 400
    assert [error["detail"] for error in answer.json()["errors"]] == [
        'the body is not JSON: the key "7" stands twice in an object'
    ]


def _raw(url: str, *parts: bytes) -> bytes:
    """What the server answers to bytes, until it closes or the first answer is whole."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
            if b"\r\n\r\n" in answer:
                break
    return answer


HEAD = (
    f"POST /api/v2/dora/deployment HTTP/1.1\r\nHost: x\r\nDD-API-KEY: {API_KEY}\r\nContent-Type: application/json\r\n"
)


def test_chunks_above_the_limit_are_refused_without_a_length(client: Client) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = _raw(client.url, HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_length_above_the_limit_is_refused_before_the_body_comes(client: Client) -> None:
    answer = _raw(client.url, HEAD.encode() + b"Content-Length: 2000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 70_000,
        b"GET /" + b"x" * 70_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X-Many: x\r\n" * 7_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no TLS is spoken here\r\n\r\n",
        HEAD.encode() + b"Content-Length: -1\r\n\r\n",
        HEAD.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    ids=["a long header", "a long path", "many headers", "TLS", "a negative length", "two lengths"],
)
def test_a_head_that_cannot_be_is_a_400(client: Client, head: bytes) -> None:
    assert _raw(client.url, head).startswith(b"HTTP/1.1 400 ")


def test_cut_bodies_and_slow_clients_harm_nobody(client: Client) -> None:
    address = urlsplit(client.url)
    content = json.dumps(body()).encode()
    slow = []
    for _ in range(50):
        connection = socket.create_connection((address.hostname or "", address.port or 0))
        connection.sendall(HEAD.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content[:-1])
        slow.append(connection)
    assert client("GET", "/healthz").status_code == 200
    assert client("GET", "/api/v2/dora/deployments/unknown-0123456789").status_code == 404
    for connection in slow:
        connection.close()
    assert client("GET", "/healthz").status_code == 200
