"""A web server on this machine that misbehaves in one chosen way."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath


class Server:
    """What is served, how it misbehaves, and what was asked.

    Attributes:
        files: bytes by name.
        breaks: how many of the next answers stop in the middle.
        stalls: whether they hang there until ``release`` is set, before the connection breaks.
        ranges: whether ranges are understood.
        status: the answer to everything, unless 200.
        passing: how many of the next answers are 503.
        shift: by how many bytes ranges begin too late.
        says_length: whether answers have a Content-Length.
        asked: (name, Range header) of every request.
        tokens: the Authorization header of every request.
        moved: the address to which requests are sent on.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks = 0
        self.stalls = False
        self.release = threading.Event()
        self.ranges = True
        self.status = 200
        self.passing = 0
        self.shift = 0
        self.says_length = True
        self.asked: list[tuple[str, str | None]] = []
        self.tokens: list[str | None] = []
        self.moved = ""
        self.url = ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = PurePosixPath(self.path).name
            wanted = self.headers.get("Range")
            server.asked.append((name, wanted))
            server.tokens.append(self.headers.get("Authorization"))
            if server.moved:
                self.send_response(302)
                self.send_header("Location", f"{server.moved}/{name}")
                self.end_headers()
                return
            if server.passing > 0:
                server.passing -= 1
                self.send_error(503)
                return
            if server.status != 200 or name not in server.files:
                self.send_error(server.status if server.status != 200 else 404)
                return
            with suppress(OSError):  # the client has gone
                self._send(server.files[name], wanted)

        def _send(self, content: bytes, wanted: str | None) -> None:
            start, *ends = (int(place) for place in re.findall(r"\d+", wanted)) if wanted and server.ranges else (0,)
            if start and start >= len(content):
                self.send_error(416)
                return
            start = start + server.shift if start else 0
            rest = content[start : ends[0] + 1] if ends else content[start:]
            self.send_response(206 if start or ends else 200)
            if start or ends:
                self.send_header("Content-Range", f"bytes {start}-{start + len(rest) - 1}/{len(content)}")
            if server.says_length:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if server.breaks > 0:
                server.breaks -= 1
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                if server.stalls:
                    server.release.wait(60)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(rest)

    return Handler


@contextmanager
def serve() -> Iterator[Server]:
    """Runs a server on a free port of 127.0.0.1."""
    server = Server()
    web = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
