"""Serves one tool of the pulls on 127.0.0.1, from memory and at once, until it is ended.

    python bench/pull_server.py PORT KIND RECORDS SEED

Plain sockets, kept alive: what a framework does to a request would be measured with the pull. `/held` says how many
records a pull has to land, once they are all rendered. What stays out: what is answered (pull_tools, pull_vendors).
"""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pull_tools as tools
import pull_vendors as vendors

HOST = "127.0.0.1"
SOURCES: dict[str, type[tools.Source]] = {
    "portal": tools.Portal,
    "files": tools.Files,
    "sql": tools.Sql,
    "rest": tools.Rest,
    "redmine": vendors.Redmine,
    "tryton": vendors.Tryton,
    "jira": vendors.Jira,
    "asana": vendors.Asana,
    "stripe": vendors.Stripe,
    "xero": vendors.Xero,
    "rocketlane": vendors.Rocketlane,
}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DATE = format_datetime(tools.NOW, usegmt=True).encode()


class Conversation(asyncio.Protocol):
    """One connection: requests in, one after the other, and their answers out."""

    def __init__(self, tool: tools.Tool) -> None:
        self._tool = tool
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, ends, rest = self._heard.partition(b"\r\n\r\n")
        length = int(told[1]) if (told := _LENGTH.search(head)) else 0
        if ends and len(rest) >= length:
            self._heard = rest[length:]
            self._transport.write(self._answer(head, rest[:length]))

    def _answer(self, asked_head: bytes, content: bytes) -> bytes:
        told = urlsplit(asked_head.split(b" ", 2)[1].decode())
        asked = tools.Asked(told.path, parse_qs(told.query), asked_head, content)
        body = b'{"held":%d}' % self._tool.held if told.path == "/held" else self._tool.answer(asked)
        if body is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % (_DATE, len(body)) + body


async def serve(port: int, tool: tools.Tool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(tool), HOST, port)
    await server.serve_forever()


def main(port: str, kind: str, records: str, seed: str) -> None:
    made = SOURCES[kind]
    assert issubclass(made, tools.Tool)
    tool = made(int(records), int(seed))
    gc.freeze()  # millions of records that stay are not to be gone over again
    asyncio.run(serve(int(port), tool))


if __name__ == "__main__":
    main(*sys.argv[1:])
