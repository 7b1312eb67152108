"""A vendor's server: routes that answer, and faults that spoil the answers of chosen requests."""

import gzip
import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it arrived; `match` is that of its route."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    match: re.Match[str] | None = None

    def first(self, name: str, default: str | None = None) -> str | None:
        """The first value of a parameter."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True)
class Reply:
    """An answer: JSON or bytes, or pieces that are sent one by one. `told_length` is what Content-Length claims."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None
    told_length: int | None = None
    is_chunked: bool = False
    hangs_up: bool = False

    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Fault = Callable[[Asked, Reply], Reply]


def refused(status: int, body: Any = None, **headers: str) -> Fault:
    """A status in place of the answer; `retry_after` stands for the header Retry-After."""
    return lambda asked, reply: Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def told(**headers: str) -> Fault:
    """The answer, with headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda asked, reply: replace(reply, headers={**reply.headers, **named})


def html(asked: Asked, reply: Reply) -> Reply:
    """The page of a proxy or a sign-in wall, with 200."""
    return Reply(b"<!DOCTYPE html><html><body>Sign in</body></html>", 200, {"Content-Type": "text/html"})


def cut(asked: Asked, reply: Reply) -> Reply:
    """Half of the answer; Content-Length promises all of it."""
    content = reply.content()
    return Reply(content[: len(content) // 2], reply.status, told_length=len(content))


def cut_chunks(asked: Asked, reply: Reply) -> Reply:
    """Chunks without the last one."""
    content = reply.content()
    return Reply(status=reply.status, pieces=[content[: len(content) // 2]], is_chunked=True)


def broken_gzip(asked: Asked, reply: Reply) -> Reply:
    """Compressed bytes with a hole in them."""
    packed = gzip.compress(reply.content())
    return Reply(packed[:12] + bytes(20) + packed[32:], reply.status, {"Content-Encoding": "gzip"})


def packed(asked: Asked, reply: Reply) -> Reply:
    """The answer, compressed."""
    return Reply(gzip.compress(reply.content()), reply.status, {"Content-Encoding": "gzip"})


def hang_up(asked: Asked, reply: Reply) -> Reply:
    """No answer at all."""
    return Reply(hangs_up=True)


def drip(asked: Asked, reply: Reply) -> Reply:
    """Spaces without end, one at a time; JSON may begin with them."""

    def spaces() -> Iterator[bytes]:
        while True:
            yield b" "

    return Reply(pieces=spaces(), told_length=10**9)


def flood(asked: Asked, reply: Reply) -> Reply:
    """Spaces without end, by the megabyte."""

    def spaces() -> Iterator[bytes]:
        while True:
            yield b" " * 2**20

    return Reply(pieces=spaces(), told_length=10**12)


def redirect(target: str) -> Fault:
    """302 to elsewhere."""
    return lambda asked, reply: Reply({}, 302, {"Location": target})


def echo(status: int) -> Fault:
    """An error that repeats what we sent, secrets included."""
    return lambda asked, reply: Reply(
        {"error": {"message": f"bad request: {asked.headers}", "errors": [str(asked.query)]}}, status
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that does not trust the certificate ends the handshake.
        if not isinstance(sys.exception(), ssl.SSLError):
            super().handle_error(request, client_address)


class FakeVendor:
    """A server on loopback, up between `with` and its end; it speaks HTTPS where `tls` is given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._scheme = "http" if tls is None else "https"
        self.asked: list[Asked] = []
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Asked], Reply]]] = []
        self._faults: list[Fault | None] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                vendor._serve(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            # The handshake is left to the thread that reads.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "FakeVendor":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def route(self, method: str, pattern: str, answer: Callable[[Asked], Reply]) -> None:
        """Answer requests whose path is all of the pattern."""
        self._routes.append((method, re.compile(pattern), answer))

    def spoil(self, *faults: Fault | None) -> None:
        """Spoil the next requests, one fault each; None leaves one as it is."""
        self._faults.extend(faults)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        parts = urlsplit(handler.path)
        asked = Asked(
            handler.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            json.loads(body) if body else None,
        )
        self.asked.append(asked)
        reply = self._answer(asked)
        fault = self._faults.pop(0) if self._faults else None
        _send(handler, fault(asked, reply) if fault else reply)

    def _answer(self, asked: Asked) -> Reply:
        for method, pattern, answer in self._routes:
            match = pattern.fullmatch(asked.path)
            if match and method == asked.method:
                return answer(replace(asked, match=match))
        return Reply({"error": {"message": "Not Found", "code": 2100}}, 404)


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.close_connection = reply.hangs_up or reply.pieces is not None or reply.told_length is not None
    if reply.hangs_up:
        return
    content = b"" if reply.pieces is not None else reply.content()
    length = len(content) if reply.told_length is None else reply.told_length
    framing = {"Transfer-Encoding": "chunked"} if reply.is_chunked else {"Content-Length": str(length)}
    usual = {"Content-Type": "application/json", "Date": handler.date_time_string()}
    handler.send_response_only(reply.status)
    for name, value in {**framing, **usual, **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    try:
        handler.wfile.write(content)
        for piece in reply.pieces or ():
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.is_chunked else piece)
    except ConnectionError:
        # The client has had enough.
        pass
