"""A loopback proxy between a puller and a tool that spoils some of the answers, always the same ones for one seed.

Which answer is spoilt, and how, follows from the seed and the order of what is asked. What stays out: what the tool
answers, and what the puller makes of it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import urlsplit

HASTE_SECONDS = 0.02
LATE_SECONDS = 10.0  # a late answer is held back until the puller has asked again, but no longer than this

_HTML = b"<html><body>The gateway is busy.</body></html>"
_REFUSALS = {"429": (429, {"Retry-After": "0"}, b""), "500": (500, {}, b"{}"), "503": (503, {}, _HTML)}


class FaultyProxy:
    """The proxy at `url`. `asked` counts requests, `met` the faults by what each was."""

    KINDS = (
        "dropped",  # the connection closes without an answer
        "delayed",  # the answer takes longer, but within the puller's patience
        "late",  # it comes after the puller gave up and asked again: two answers in the wrong order
        "cut off",  # half of the answer, then the connection closes
        "halved",  # half of the answer as if it were all
        "doubled",  # the whole answer twice on the connection
        "asked twice",  # the tool is asked twice, and gives its second answer
        "shuffled",  # the records of a page in another order, one of them twice
        "429",
        "500",
        "503",
        "HTML",  # a page for people, with status 200
    )

    def __init__(self, tool: str, seed: int, share: float, kinds: tuple[str, ...] = KINDS) -> None:
        self.tool, self.seed, self.share, self.kinds = urlsplit(tool), seed, share, kinds
        self.url = ""
        self.asked = 0
        self.met: Counter[str] = Counter()
        self.is_down = False  # refuses whatever is asked
        self._dice = Random(seed)
        self._place = 0
        self._deck: list[str] = []  # kinds in the order in which they come: every one before any comes again
        self._lock = threading.Lock()
        self._again: dict[str, threading.Event] = {}

    def fault(self, question: str) -> tuple[str | None, threading.Event]:
        """What this request will meet, and what tells that the same was asked again."""
        with self._lock:
            self.asked += 1
            if earlier := self._again.pop(question, None):
                earlier.set()
            again = self._again[question] = threading.Event()
            kind = "503" if self.is_down else self._drawn() if self._is_spoilt() else None
            if kind:
                self.met[kind] += 1
        return kind, again

    def _is_spoilt(self) -> bool:
        """One request out of so many, at any place among them: the share is held exactly."""
        among = round(1 / self.share) if self.share else 0
        if not among:
            return False
        place = (self.asked - 1) % among
        if place == 0:
            self._place = self._dice.randrange(among)
        return place == self._place

    def _drawn(self) -> str:
        if not self._deck:
            self._deck = self._dice.sample(self.kinds, len(self.kinds))
        return self._deck.pop()

    def answer(self, method: str, path: str, headers: Mapping[str, str], sent: bytes) -> tuple[int, str, bytes]:
        """The tool's own answer: status, headers to pass on, and body."""
        asking = http.client.HTTPConnection(str(self.tool.hostname), self.tool.port, timeout=LATE_SECONDS)
        try:
            asking.request(method, path, sent or None, dict(headers))
            told = asking.getresponse()
            content = told.read()
        finally:
            asking.close()
        kept = [(name, value) for name, value in told.getheaders() if name.lower() not in _HOP_BY_HOP]
        return told.status, "".join(f"{name}: {value}\r\n" for name, value in kept), content


_HOP_BY_HOP = ("connection", "content-length", "keep-alive", "server", "transfer-encoding")


def shuffled(content: bytes, dice: Random) -> bytes:
    """A page of records in another order with one of them twice; whatever has no list `data` stays as it is."""
    try:
        page: Any = json.loads(content)
    except ValueError:
        return content
    if not isinstance(page, dict) or not isinstance(page.get("data"), list) or not page["data"]:
        return content
    rows = [*page["data"], dice.choice(page["data"])]
    dice.shuffle(rows)
    return json.dumps({**page, "data": rows}).encode()


@contextmanager
def proxied(
    tool: str, seed: int, share: float = 0.2, kinds: tuple[str, ...] = FaultyProxy.KINDS
) -> Iterator[FaultyProxy]:
    """A proxy before the tool at that address, on a free port of 127.0.0.1, until left."""
    proxy = FaultyProxy(tool, seed, share, kinds)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            question = f"{self.command} {self.path} {hashlib.sha256(sent).hexdigest()}"
            kind, again = proxy.fault(question)
            if kind in _REFUSALS:
                status, headers, content = _REFUSALS[kind]
                self._write(status, "".join(f"{name}: {value}\r\n" for name, value in headers.items()), content)
                return
            if kind == "HTML":
                self._write(200, "Content-Type: text/html\r\n", _HTML)
                return
            told = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            times = 2 if kind == "asked twice" else 1
            for _ in range(times):
                status, passed_on, content = proxy.answer(self.command, self.path, told, sent)
            self._spoil(kind, status, passed_on, content, again)

        do_POST = do_GET

        def _spoil(self, kind: str | None, status: int, headers: str, content: bytes, again: threading.Event) -> None:
            whole = len(content)
            match kind:
                case "dropped":
                    self.close_connection = True
                    return
                case "delayed":
                    time.sleep(HASTE_SECONDS)
                case "late":
                    again.wait(LATE_SECONDS)
                    time.sleep(HASTE_SECONDS)  # so that the other answer goes first
                case "cut off":
                    content = content[: whole // 2]
                    self.close_connection = True
                case "halved":
                    content = content[: whole // 2]
                    whole = len(content)
                case "shuffled":
                    content = shuffled(content, Random(whole))
                    whole = len(content)
            self._write(status, headers, content, whole, times=2 if kind == "doubled" else 1)

        def _write(self, status: int, headers: str, content: bytes, whole: int | None = None, times: int = 1) -> None:
            head = f"HTTP/1.1 {status} {http.client.responses[status]}\r\n{headers}Content-Length: "
            answer = f"{head}{len(content) if whole is None else whole}\r\n\r\n".encode() + content
            try:
                self.wfile.write(answer * times)
            except OSError:  # whoever asked has left
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
