"""A loopback HTTP server whose answers a test writes: the stage on which the fakes of vendors' tools play.

A fake is a function from a `Request` to a `Reply`. Troubles are put in front of it one request each: a `Reply` that is
given instead, or a way of breaking off. What stays out: anything a vendor decides (the fakes).
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. `query` holds the last value of each parameter, `queries` all of them; names of headers are lower case."""

    method: str
    path: str
    queries: Mapping[str, list[str]]
    headers: Mapping[str, str]
    content: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.queries.items()}

    @property
    def body(self) -> Any:
        return json.loads(self.content) if self.content else None


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: bytes as they are, a text as HTML, anything else as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def content_type(self) -> str:
        return "text/html" if isinstance(self.body, str) else "application/json"


Trouble = Reply | Literal["cut", "drop"]  # half of the answer, or none at all


@dataclass(slots=True)
class Loopback:
    """A server that runs. `asked` are all requests so far, `troubles` what the next ones meet."""

    url: str
    asked: list[Request] = field(default_factory=list)
    troubles: deque[Trouble] = field(default_factory=deque)

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]


@contextmanager
def serving(answer: Callable[[Request], Reply]) -> Iterator[Loopback]:
    """Serves on a free port of 127.0.0.1 until left; `answer` is asked by one request at a time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, threading.Lock()))
    server.loopback = Loopback(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.loopback  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(answer: Callable[[Request], Reply], lock: threading.Lock) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = (
            -1
        )  # an answer goes out in one piece: in two, the second waits 40 ms for the word that the first came

        def do_GET(self) -> None:
            told = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, told.path, parse_qs(told.query, keep_blank_values=True), headers,
                              self.rfile.read(length))  # fmt: skip
            loopback: Loopback = self.server.loopback  # type: ignore[attr-defined]
            with lock:
                loopback.asked.append(request)
                trouble = loopback.troubles.popleft() if loopback.troubles else None
                reply = trouble if isinstance(trouble, Reply) else answer(request)
            self._send(reply, trouble)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def _send(self, reply: Reply, trouble: Trouble | None) -> None:
            content = reply.content
            if trouble == "drop":
                self.close_connection = True
                return
            self.send_response_only(reply.status)
            for name, value in {
                "Date": formatdate(usegmt=True),
                "Content-Type": reply.content_type,
                **reply.headers,
            }.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if trouble == "cut" else content)
            if trouble == "cut":
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
