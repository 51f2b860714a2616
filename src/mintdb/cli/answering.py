"""Answer a command's POSTs on loopback, at URLs that only it is told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from secrets import token_urlsafe
from select import select
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mintdb.cli.signals import signals_blocked

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler, HTTPServer

HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds for whoever has connected to say what he wants
LONGEST = 1000  # bytes of a body that are read: the name of a test, for a person to read

# What a request says, what follows the URL in its path, and what is answered; what it raises is answered with 500.
Answer = Callable[[str, str], str]


@contextmanager
def answering(answers: Mapping[str, Answer]) -> Iterator[dict[str, str]]:
    """Serve each of `answers`, by name, while the block lasts; gives the URL of each.

    One request is answered at a time, all of them on one thread. Until the first comes, nothing is imported for it.
    """
    token = token_urlsafe(16)
    ours, theirs = socket.socketpair()
    with socket.create_server((HOST, 0)) as listener, theirs:
        routes = {f"/{token}/{name}": answer for name, answer in answers.items()}
        thread = Thread(target=_serve, args=[listener, theirs, routes], name="mintdb answering", daemon=True)
        with signals_blocked():
            thread.start()
        try:
            yield {name: f"http://{HOST}:{listener.getsockname()[1]}/{token}/{name}" for name in answers}
        finally:
            ours.close()
            thread.join()  # a socket that is closed while a thread waits for it may be another's by then


def _serve(listener: socket.socket, ending: socket.socket, routes: Mapping[str, Answer]) -> None:
    """Answer until the other end of `ending` is closed."""
    server: HTTPServer | None = None
    while ending not in select([listener, ending], [], [])[0]:
        server = server or _server(listener, routes)
        server.handle_request()


def _server(listener: socket.socket, routes: Mapping[str, Answer]) -> HTTPServer:
    from http.server import HTTPServer  # 30 ms, for those who ask

    server = HTTPServer(listener.getsockname(), _handler(routes), bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    return server


def _find(path: str, routes: Mapping[str, Answer]) -> tuple[Answer | None, str]:
    """The answer whose URL a path begins with, and what follows."""
    address = "/".join(path.split("/")[:3])
    return routes.get(address), unquote(path[len(address) + 1 :])


def _handler(routes: Mapping[str, Answer]) -> type[BaseHTTPRequestHandler]:
    from http.server import BaseHTTPRequestHandler

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_POST(self) -> None:  # as http.server calls it
            answer, rest = _find(self.path, routes)
            if answer is None:
                self._say(404, "nothing is here")
                return
            try:
                body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LONGEST))
                said = answer(body.decode(errors="replace").strip(), rest)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test that asked has to be told
                self._say(500, str(error) or type(error).__name__)
            else:
                self._say(200, said)

        def do_GET(self) -> None:  # see above
            self._say(405 if _find(self.path, routes)[0] else 404, "POST to this address")

        def log_message(self, *_: object) -> None:
            """What a test asks for is no news."""

        def _say(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
