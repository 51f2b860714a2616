"""A server that speaks just enough of PostgreSQL's protocol to say that it is an old one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

NO_TLS = (80877103, 80877104)  # SSLRequest, GSSENCRequest
# protocol 3.0: https://www.postgresql.org/docs/current/protocol-message-formats.html


class OldServer:
    """Answers every query with the row that mintdb asks for first: the version, and who is asking."""

    def __init__(self, version: str, number: int) -> None:
        self.version, self.row = version, (str(number), version, "t", "t", "me")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        if self._client is not None:  # one that stayed would be waited for
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._client = connection
            with contextlib.suppress(OSError, struct.error), connection, connection.makefile("rwb") as stream:
                self._greet(stream)
                self._answer(stream)

    def _greet(self, stream: object) -> None:
        while True:
            length, code = struct.unpack("!ii", stream.read(8))
            stream.read(length - 8)
            if code not in NO_TLS:
                break
            stream.write(b"N")
            stream.flush()
        stream.write(_message(b"R", struct.pack("!i", 0)))
        for name, value in {"server_version": self.version, "client_encoding": "UTF8"}.items():
            stream.write(_message(b"S", _text(name) + _text(value)))
        stream.write(_message(b"Z", b"I"))
        stream.flush()

    def _answer(self, stream: object) -> None:
        columns = b"".join(_text(f"c{i}") + struct.pack("!ihihih", 0, 0, oid, -1, -1, 0) for i, oid in enumerate(OIDS))
        values = b"".join(struct.pack("!i", len(v)) + v.encode() for v in self.row)
        count = struct.pack("!h", len(self.row))
        described = _message(b"T", count + columns)
        executed = _message(b"D", count + values) + _message(b"C", _text("SELECT 1"))
        ready = _message(b"Z", b"I")
        replies = {
            b"Q": described + executed + ready,
            b"P": _message(b"1", b""),
            b"B": _message(b"2", b""),
            b"D": described,
            b"E": executed,
            b"S": ready,
        }
        while kind := stream.read(1):
            (length,) = struct.unpack("!i", stream.read(4))
            stream.read(length - 4)
            stream.write(replies.get(kind, b""))
            stream.flush()


OIDS = (23, 25, 16, 16, 19)  # int4, text, bool, bool, name


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
