"""Connections of clients that mean harm, are slow, or ask for more than HTTP/1.1: the intake answers the others."""

import http.client
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.web import connections
from dora_pipeline_tests.certificates import issued
from dora_pipeline_tests.intake_servers import API_KEY, Client, intake_in_process, running_intake, started_intake
from dora_pipeline_tests.waiting import eventually

NOON = 1_714_996_800
PATIENCE = 600
HEAD = b"POST /api/v2/dora/deployment HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
KEY = f"DD-API-KEY: {API_KEY}\r\n".encode()
REFUSED = HEAD + b"Content-Length: 1000000\r\n\r\n"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def deployment(service: str) -> bytes:
    return json.dumps({"data": {"attributes": {"service": service, "started_at": NOON, "finished_at": NOON}}}).encode()


def connected(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=PATIENCE)


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    """The status of each answer, the interim ones too."""
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


# limits of time


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, uvicorn.Server]]:
    """The address of an intake whose limits of time are half a second, and its server."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READING_SECONDS"):
        monkeypatch.setattr(connections, name, 0.5)
    with intake_in_process(Home(tmp_path / "home"), keep_alive_seconds=0.5) as served:
        yield served


def dripped(content: bytes, before: bytes = b"") -> Callable[[socket.socket, Event], None]:
    """Sends an end of a request, then the same bytes again and again, a byte at a time, until the end."""

    def send(connection: socket.socket, ended: Event) -> None:
        connection.sendall(before)
        while not ended.wait(0.05):
            for byte in content:
                connection.sendall(bytes([byte]))

    return send


def sent(*parts: bytes) -> Callable[[socket.socket, Event], None]:
    """Sends bytes, each but the first after an answer, and then nothing."""

    def send(connection: socket.socket, _ended: Event) -> None:
        for place, part in enumerate(parts):
            if place:
                connection.recv(65536)
            connection.sendall(part)

    return send


SLOW = {
    "nothing": sent(b""),
    "half a head": sent(HEAD),
    "a head that drips": dripped(b"X-More: y\r\n", HEAD),
    "empty lines before a head": dripped(b"\r\n"),
    "half a body": sent(HEAD + KEY + b"Content-Length: 1000000\r\n\r\nx"),
    "a body that drips": dripped(b"x", HEAD + KEY + b"Content-Length: 1000000\r\n\r\n"),
    "chunks that drip": dripped(b"1\r\nx\r\n", HEAD + KEY + b"Transfer-Encoding: chunked\r\n\r\n"),
    "a byte after a refusal": sent(REFUSED, b"x"),
    "bytes after a refusal": dripped(b"x", REFUSED),
    "trailers that drip": dripped(b"X-More: y\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
    "nothing after an answer": sent(HEALTHZ, b""),
    "half a head after an answer": sent(HEALTHZ, b"GET /hea"),
    "half a head behind a whole request": sent(HEALTHZ + b"GET /hea"),
    "empty lines after an answer": dripped(b"\r\n", HEALTHZ),
}


@pytest.mark.parametrize("send", SLOW.values(), ids=SLOW.keys())
def test_whoever_keeps_us_waiting_is_left(
    hasty: tuple[str, uvicorn.Server], send: Callable[[socket.socket, Event], None]
) -> None:
    url, server = hasty
    ended = Event()

    def attack(connection: socket.socket) -> None:
        with suppress(OSError):
            send(connection, ended)

    with closing(connected(url)) as connection:
        thread = Thread(target=attack, args=(connection,))
        thread.start()
        until_closed(connection)
        ended.set()
        thread.join(PATIENCE)
        eventually(lambda: not server.server_state.connections, "an end of the connection", PATIENCE, 0.05)


def test_whoever_does_not_read_a_long_answer_is_left(tmp_path: Path, hasty: tuple[str, uvicorn.Server]) -> None:
    url, server = hasty
    with EventStore.at(Home(tmp_path / "home")) as store:
        store.append_many(
            "deployment",
            ({"service": f"s{number}", "started_at": NOON, "version": "x" * 10_000} for number in range(900)),
        )
    content = b'{"data": {"type": "dora_deployments_list_request", "attributes": {"limit": 1000}}}'
    head = HEAD.replace(b"deployment ", b"deployments ") + KEY + b"Content-Length: %d\r\n\r\n" % len(content)
    with closing(connected(url)) as connection:
        connection.sendall(head + content)
        eventually(lambda: server.server_state.connections, "the connection", PATIENCE, 0.01)
        eventually(lambda: not server.server_state.connections, "an end of the connection", PATIENCE, 0.05)


def test_a_client_that_closes_its_half_gets_its_answer(hasty: tuple[str, uvicorn.Server]) -> None:
    with closing(connected(hasty[0])) as connection:
        content = deployment("half")
        connection.sendall(HEAD + KEY + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        connection.shutdown(socket.SHUT_WR)
        assert statuses(until_closed(connection)) == [200]


def test_a_client_that_leaves_within_its_body_is_counted_as_a_bad_request(hasty: tuple[str, uvicorn.Server]) -> None:
    with closing(connected(hasty[0])) as connection:
        connection.sendall(HEAD + KEY + b"Content-Length: 10\r\n\r\nx")
        eventually(lambda: hasty[1].server_state.tasks, "the request", PATIENCE, 0.01)
    counted = 'dora_intake_requests_total{method="POST",route="/api/v2/dora/deployment",status="400"} 1.0'
    eventually(lambda: counted in requests.get(f"{hasty[0]}/metrics", timeout=PATIENCE).text, "its count", PATIENCE)


# many at once


@pytest.fixture
def many_files() -> Iterator[None]:
    """2,000 open files for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _attack(url: str, kinds: list[bytes], stack: ExitStack) -> None:
    for number in range(1_100):
        connection = stack.enter_context(closing(connected(url)))
        # The ones that came first may have been left already.
        with suppress(OSError):
            connection.sendall(kinds[number % len(kinds)])
            if kinds[number % len(kinds)] == REFUSED:
                connection.recv(65536)
                connection.sendall(b"x")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_1100_idle_connections_and_1024_files_leave_the_intake_answering(tmp_path: Path, is_tls: bool) -> None:
    certificates = issued(tmp_path / "certificates", "127.0.0.1") if is_tls else None
    kinds = [b"", b"\x16\x03\x01\x02\x00\x01"] if is_tls else [b"", HEAD, REFUSED, HEALTHZ]
    with (
        started_intake(Home(tmp_path / "home"), tls=certificates, files=1_024) as intake,
        ExitStack() as stack,
    ):
        authority = certificates.authority if certificates else None
        _attack(intake.url, kinds, stack)
        for service in ("one", "two", "three"):
            client = Client(intake.url, authority=authority)
            assert client.tell("deployment", service=service, started_at=NOON, finished_at=NOON).status_code == 200
            assert client("GET", "/readyz").status_code == 200
            client.close()
        before = _processor_seconds(intake.process.pid)
        time.sleep(2)
        assert _processor_seconds(intake.process.pid) - before < 1
        assert len(os.listdir(f"/proc/{intake.process.pid}/fd")) < 1_000
    log = intake.log.read_text(encoding="utf-8")
    assert "the limit of 1024 open files leaves room for 896 connections at once" in log
    assert log.count("more than 896 connections at once") >= 1
    assert "Traceback" not in log


# what the parser finds


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_intake(Home(tmp_path_factory.mktemp("served") / "home"), "--rate-limit", "0") as url:
        yield url


def answered(url: str, *parts: bytes) -> bytes:
    """What the server answers to bytes that end with a request to close."""
    with closing(connected(url)) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05)
        return until_closed(connection)


def answered_in_turn(url: str, first: bytes, then: bytes) -> list[int]:
    """The statuses of all that the server answers, where the first answer is waited for."""
    with closing(connected(url)) as connection:
        connection.sendall(first)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        answer.read()
        connection.sendall(then)
        return [answer.status, *statuses(until_closed(connection))]


def shown(url: str, service: str) -> list[dict[str, Any]]:
    client = Client(url)
    found = client.found("deployment", query=f'service:"{service}"')
    client.close()
    return found


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "TLS": b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
    "expected": b"Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
}
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("name", UPGRADES)
@pytest.mark.parametrize("way", ["at once", "in pieces", "in chunks"])
def test_a_body_is_read_although_another_protocol_is_offered(url: str, name: str, way: str) -> None:
    service = f"{name} {way}"
    content = deployment(service)
    if way == "in chunks":
        sized = b"Transfer-Encoding: chunked\r\n\r\n"
        content = b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n"
    else:
        sized = b"Content-Length: %d\r\n\r\n" % len(content)
    parts = [HEAD + KEY + UPGRADES[name] + sized, content[:20], content[20:], LAST]
    received = answered(url, *parts) if way == "in pieces" else answered(url, b"".join(parts))
    assert [status for status in statuses(received) if status != 100] == [200, 200]
    assert len(shown(url, service)) == 1


def test_requests_without_a_body_that_offer_another_protocol_are_answered(url: str) -> None:
    offers = b"".join(HEALTHZ.replace(b"\r\n\r\n", b"\r\n" + offer + b"\r\n") for offer in UPGRADES.values())
    assert [status for status in statuses(answered(url, offers, LAST)) if status != 100] == [200] * 5


def test_a_connect_is_refused(url: str) -> None:
    for target in (b"x:443", b"/", b"http://x/"):
        received = answered(url, b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n" % target)
        assert statuses(received) == [400]


def test_what_cannot_be_read_behind_a_request_is_no_answer_to_it(url: str) -> None:
    content = deployment("before nonsense")
    request = HEAD + KEY + b"Content-Length: %d\r\n\r\n" % len(content) + content
    assert statuses(answered(url, request + b"nonsense\r\n\r\n")) == [200]
    assert len(shown(url, "before nonsense")) == 1


def test_what_cannot_be_read_in_a_refused_body_gets_no_second_answer(url: str) -> None:
    assert answered_in_turn(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"nonsense\r\n") == [403]
    assert statuses(answered(url, HEAD + KEY + b"Transfer-Encoding: chunked\r\n\r\n", b"nonsense\r\n")) == [400]


def test_requests_that_wait_for_their_turn_are_answered_in_order_and_not_without_end(url: str) -> None:
    gone = b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(answered(url, HEALTHZ + gone + HEALTHZ + gone + LAST)) == [200, 404, 200, 404, 200]
    answers = statuses(answered(url, HEALTHZ * 3_000))
    assert answers == [200] * len(answers)
    assert 1 <= len(answers) < 3_000


def test_fields_behind_a_body_are_bounded_and_change_nothing(url: str) -> None:
    content = deployment("with trailers")
    chunks = b"%x\r\n" % len(content) + content + b"\r\n0\r\n"
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(answered(url, head + chunks + KEY + b"\r\n" + LAST)) == [403, 200]
    endless = b"X-More: " + b"x" * 1_000_000
    answers = statuses(answered(url, HEAD + KEY + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + endless))
    assert answers in ([], [400])
    assert shown(url, "with trailers") == []


def test_a_head_of_many_fields_is_refused(url: str) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 300 + b"\r\n"
    assert statuses(answered(url, head)) == [400]


CONTENT = deployment("smuggled")
SIZE = b"Content-Length: %d\r\n" % len(CONTENT)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n" % len(CONTENT) + CONTENT + b"\r\n0\r\n\r\n"
UNREADABLE = {
    "a length and chunks": HEAD + KEY + SIZE + CHUNKED + b"\r\n" + CHUNKS,
    "chunks and a length": HEAD + KEY + CHUNKED + SIZE + b"\r\n" + CHUNKS,
    "a length twice": HEAD + KEY + SIZE + SIZE + b"\r\n" + CONTENT,
    "a list of lengths": HEAD + KEY + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": HEAD + KEY + b"Content-Length: +2\r\n\r\n{}",
    "a length in hexadecimal": HEAD + KEY + b"Content-Length: 0x2\r\n\r\n{}",
    "a length without digits": HEAD + KEY + b"Content-Length: \r\n\r\n{}",
    "a length of 30 digits": HEAD + KEY + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "a space before a colon": HEAD + KEY + b"Content-Length : 2\r\n\r\n{}",
    "an unknown coding": HEAD + KEY + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "a coding behind chunks": HEAD + KEY + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKS,
    "chunks twice": HEAD + KEY + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
    "a folded field": HEAD + KEY + b"X-A: b\r\n c\r\n" + SIZE + b"\r\n" + CONTENT,
    "a chunk with a negative size": HEAD + KEY + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": HEAD + KEY + CHUNKED + b"\r\nfffffffffffffffff0\r\n{}",
    "a chunk that ends in a line feed": HEAD + KEY + CHUNKED + b"\r\n2\n{}\n0\n\n",
    "a length behind the chunks": HEAD + KEY + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "line feeds": HEALTHZ.replace(b"\r", b""),
    "carriage returns": HEALTHZ.replace(b"\n", b""),
    "a carriage return in a value": b"GET /healthz HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "a NUL in a value": b"GET /healthz HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "a field without a name": b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
    "a port that is none": b"GET http://x:99999/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority": b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a letter beyond ASCII in a path": b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": HEALTHZ.replace(b"GET", b"FETCH"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_request_of_which_nobody_knows_where_it_ends_is_a_400_and_the_end(url: str, request_bytes: bytes) -> None:
    assert statuses(answered(url, request_bytes)) == [400]
    assert answered_in_turn(url, HEALTHZ, request_bytes) == [200, 400]
    assert shown(url, "smuggled") == []


FOUND = {
    "a chunk with extensions": (
        HEAD + KEY + CHUNKED + b"\r\n2;a=b;c\r\n{}\r\n0;d\r\n\r\n" + LAST,
        [400, 200],
    ),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "an absolute address": (LAST.replace(b"/healthz", b"http://other/healthz"), [200]),
    "two dots": (LAST.replace(b"/healthz", b"/api/../healthz"), [404]),
    "two dots in disguise": (LAST.replace(b"/healthz", b"/%2e%2e/healthz"), [404]),
    "two slashes": (LAST.replace(b"/healthz", b"//healthz"), [404]),
    "a NUL in a path": (LAST.replace(b"/healthz", b"/healthz%00"), [404]),
    "half of a letter in a path": (LAST.replace(b"/healthz", b"/%ff%ed%a0%80"), [404]),
    "a percent sign": (LAST.replace(b"/healthz", b"/%"), [404]),
    "a range": (LAST.replace(b"Host", b"Range: bytes=0-5\r\nHost"), [200]),
    "TRACE": (LAST.replace(b"GET", b"TRACE"), [404]),
    "OPTIONS": (LAST.replace(b"GET /healthz", b"OPTIONS *"), [404]),
    "HEAD": (LAST.replace(b"GET", b"HEAD"), [404]),
}


@pytest.mark.parametrize(("request_bytes", "wanted"), FOUND.values(), ids=FOUND.keys())
def test_an_odd_request_has_one_answer(url: str, request_bytes: bytes, wanted: list[int]) -> None:
    assert statuses(answered(url, request_bytes)) == wanted
