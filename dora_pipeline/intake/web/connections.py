"""Connections of clients: how long each may keep us waiting, and how much it may send before it is answered.

uvicorn leaves these limits to a proxy before it. What does not belong here: how many there are at once
(`crowding`), and what a request gets.
"""

import asyncio
import math
import ssl
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from dora_pipeline.intake.web.crowding import Connections

HANDSHAKE_SECONDS = 10
HEAD_SECONDS = 30
# The app answers a slow body with 408 before this ends the connection.
BODY_SECONDS = 35
READING_SECONDS = 30
LARGEST_HEAD = 64 * 1024
MOST_HEADERS = 250
MOST_PIPELINED = 16
# What a client must have read of a long answer within READING_SECONDS: some 35 kB a second.
_LEAST_READ = 1024 * 1024


class ClientConnection(HttpToolsProtocol):
    """Has one limit of time at any moment that it waits for the client: for TLS, a head, a body, a reader, or nothing.

    Bytes that come do not prolong it, whole requests do.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._others: Connections = app_state["connections"]
        self._securing: asyncio.Task[object] | None = None
        # One timer stands for many limits, which mostly end before it: it looks whether there is one that has passed.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._deadline = math.inf
        self._is_in_head = False
        self._is_in_body = False
        self._is_deaf = False
        self._size_between_bodies = 0
        self._unread = 0
        self._plain_head = b""

    # the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if self._securing is None:
            if not self._others.enter(self):
                transport.abort()
                return
            if self._others.context is not None:
                self._secure(transport, self._others.context)
                return
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def _secure(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        # A server of asyncio that speaks TLS keeps whoever shakes hands to itself: nobody could count or end them. And
        # by `start_tls` the first bytes can be lost.
        accepted = transport.get_extra_info("socket").dup()
        transport.abort()
        shaking = self.loop.connect_accepted_socket(
            lambda: self,
            accepted,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=READING_SECONDS,
        )
        self._securing = self.loop.create_task(shaking)
        self._securing.add_done_callback(self._secured)

    def _secured(self, securing: asyncio.Task[object]) -> None:
        # That no TLS was spoken, the certificate was not trusted, or it took too long, is no error of ours.
        if securing.cancelled() or securing.exception() is not None:
            self._others.leave(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:
            self._stop_timer()
            self._others.leave(self)
            super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Whether the connection stays for the answer to a whole request; TLS has no half-closed ones."""
        if self._is_answering and self.scheme == "http" and not (self._is_in_head or self._is_in_body):
            self.cycle.keep_alive = False
            return True
        self._wait(READING_SECONDS)
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait(READING_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering and not (self._is_in_head or self._is_in_body):
            self._work()

    # what the client sends

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or self.transport.is_closing():
            return
        self._size_between_bodies += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._size_between_bodies > LARGEST_HEAD:
                self._refuse("The head of the request is too large.")

    def _feed(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # The parser takes what follows for another protocol, as which no request is answered here.
                rest = rest[upgrade.args[0] :]
            self.parser.feed_data(self._plain_head)

    def _refuse(self, message: str) -> None:
        if self._is_answering and not self._is_in_body:
            # A second answer would be taken for that of the request before.
            self._is_deaf = True
            self.cycle.keep_alive = False
        elif self._is_in_body and (self.cycle.response_started or self.pipeline):
            self.transport.close()
        else:
            self.send_400_response(message)
        if self.transport.is_closing():
            self._wait(READING_SECONDS)

    # what the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._wait(HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            # Fields behind a body come after the request was judged.
            return
        if len(self.headers) >= MOST_HEADERS:
            raise ValueError(f"more than {MOST_HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError(f"more than {MOST_PIPELINED} requests wait for their answers")
        if self.parser.should_upgrade():
            self._plain_head = self._head_without_upgrade()
            return
        super().on_headers_complete()
        self._is_in_head, self._is_in_body = False, True
        self._wait(BODY_SECONDS)

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise ValueError("CONNECT is not spoken")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode("ascii"))]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        self._size_between_bodies = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._is_in_body = False
        self._size_between_bodies = 0
        if self.cycle.response_complete:
            self._wait(self.timeout_keep_alive)
        else:
            self._work()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Its own limit ends with the first byte that comes.
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self._wait(READING_SECONDS)
        elif self._is_in_head:
            self._wait(HEAD_SECONDS)
        elif self._is_in_body:
            self._wait(BODY_SECONDS)
        elif self.cycle.response_complete:
            self._wait(self.timeout_keep_alive)

    # whose turn it is

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self, seconds: float) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._deadline = self.loop.time() + seconds
        if self._deadline < self._timer_at:
            self._set_timer()
        self._others.wait_for(self)

    def _work(self) -> None:
        self._deadline = math.inf
        self._others.work_for(self)

    def _set_timer(self) -> None:
        self._stop_timer()
        self._timer_at = self._deadline
        self._timer = self.loop.call_at(self._timer_at, self._look_at_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf

    def _look_at_time(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self.loop.time() >= self._deadline:
            self._end_of_time()
        elif self._deadline < math.inf:
            self._set_timer()

    def _end_of_time(self) -> None:
        left = self.transport.get_write_buffer_size()
        if 0 < left <= self._unread - _LEAST_READ:
            self._wait(READING_SECONDS)
        elif left or self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()

    def end(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self._securing is not None:
            self._securing.cancel()
