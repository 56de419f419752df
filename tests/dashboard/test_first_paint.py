"""The page that a browser opens: Streamlit's own, with the house style last and the scripts of its first words early."""

from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

import streamlit

from dashboard import first_paint
from dashboard.first_paint import FOR_FIGURES, FOR_WORDS, SCRIPTS, FirstPaint

PAGE = (first_paint.Path(streamlit.__file__).parent / "static" / "index.html").read_bytes()
OPENED = [(b"accept", b"text/html,*/*"), (b"accept-encoding", b"gzip"), (b"if-none-match", b'"1"')]


def _answered(headers: list[tuple[bytes, bytes]], kind: bytes) -> tuple[list[tuple[bytes, bytes]], Any, bytes]:
    """What the server inside was asked with, and the headers and body of what went out."""
    asked: list[tuple[bytes, bytes]] = []
    sent: list[MutableMapping[str, Any]] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        asked.extend(scope["headers"])
        told = [(b"content-type", kind), (b"etag", b'"1"'), (b"content-length", b"%d" % len(PAGE))]
        await send({"type": "http.response.start", "status": 200, "headers": told})
        await send({"type": "http.response.body", "body": PAGE[:100], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[100:]})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/flow", "headers": headers}
    asyncio.run(FirstPaint(server)(scope, receive, send))
    return asked, dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


def test_a_page_opened_has_the_style_behind_all_of_streamlits_and_its_scripts_in_the_head() -> None:
    asked, headers, body = _answered(OPENED, b"text/html; charset=utf-8")
    assert asked == OPENED[:1]  # else it might come packed, or not at all
    assert headers == {b"content-type": b"text/html; charset=utf-8", b"content-length": b"%d" % len(body)}
    text = body.decode()
    assert text.rstrip().endswith(f"<style>{first_paint.style()}</style></body>\n</html>")
    head = text.split("</head>")[0]
    early = re.findall(r"import\('\./static/js/(\w+)\.[^']+\.js'\)", head)
    fetched = re.findall(r'modulepreload" crossorigin href="\./static/js/(\w+)\.', head)
    assert early == list(FOR_WORDS)  # one of each: the names are Streamlit's, and of this version
    assert fetched[-1:] == list(FOR_FIGURES)
    for script in re.findall(r"\./static/js/([\w.-]+\.js)", head):
        assert (SCRIPTS / script).is_file(), script
    assert "inter.woff2" in head
    assert "SourceSans" not in head


def test_what_is_no_page_passes_as_it_is() -> None:
    for headers, kind in (([(b"accept", b"*/*")], b"text/html"), (OPENED, b"application/json")):
        _, _, body = _answered(headers, kind)
        assert body == PAGE
