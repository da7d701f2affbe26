"""A threaded HTTP/1.1 server with keep-alive that can cut a connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from calls import HttpRequest, HttpResponse

LOG = logging.getLogger("aws-backend")

Respond = Callable[[HttpRequest], "HttpResponse | None"]

MAX_BODY = 8 * 1024 * 1024
_OWN_HEADERS = frozenset({"connection", "content-length", "date", "transfer-encoding"})


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.respond(
            HttpRequest(self.command, unquote(path), query, headers, body)
        )
        if response is None:
            self._cut()
        else:
            self._send(response)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _read_body(self) -> bytes | None:
        """The whole body; None if it cannot be read, and then the connection
        ends."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
        self.close_connection = True
        return None

    def _send(self, response: HttpResponse) -> None:
        self.send_response_only(response.status)
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers:
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have gone first
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: each call is in the record."""


class Server(ThreadingHTTPServer):
    """Gives each connection a thread."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        super().__init__(address, Handler)
        self.respond = respond

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke is no error; all else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            LOG.exception("the connection from %s failed", client_address)
