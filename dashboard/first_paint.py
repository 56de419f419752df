"""What stands in the page before anything is drawn: the house style, the typeface, the scripts of the first words.

Streamlit sends a style with the page's first words, and fetches their scripts when it comes to them: all that stands
would move twice. So whoever serves the pages by `milepost dashboard` writes both into the page that a browser opens.
What stays out: the style itself (theme.css), and what is drawn later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import streamlit as st

HERE = Path(__file__).resolve().parent
SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"
FOR_WORDS = (
    "Html",
    "Selectbox",
    "ButtonGroup",
    "DownloadButton",
)  # Streamlit's scripts; a version follows
FOR_FIGURES = ("PlotlyChart",)  # fetched, and run no sooner than a figure comes
NOT_OURS = b'href="./static/media/SourceSans'  # Streamlit's own typeface, which no page uses
TYPEFACE = '<link rel="preload" href="./app/static/inter.woff2" as="font" type="font/woff2" crossorigin>'
THEMES = ("light", "dark")
STREAMLITS = (
    ("#262730", "#fafafa"),
    ("#e6eaf1", "#31333f"),
)  # words and lines of no place
AS_KEPT = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")  # of the page as Streamlit has it
_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]
_stands = Event()


def stands() -> bool:
    """Whether the page that a browser opens has the house style already."""
    return _stands.is_set()


@cache
def style() -> str:
    return (HERE / "theme.css").read_text("utf-8") + "".join(_figures_colours())


def _figures_colours() -> Iterator[str]:
    """A figure that stands takes the colours of the theme that its reader changes to: Streamlit paints it only once."""
    pairs = [
        *zip(*(st.get_option(f"theme.{theme}.chartCategoricalColors") or () for theme in THEMES), strict=True),
        tuple(st.get_option(f"theme.{theme}.backgroundColor") or "" for theme in THEMES),
        *STREAMLITS,
    ]
    for light, dark in pairs:
        for painted in ("fill", "stroke"):
            either = ", ".join(f'[style*="{painted}: {_as_painted(one)}"]' for one in (light, dark) if one)
            if either:
                yield f".js-plotly-plot :is({either}) {{ {painted}: light-dark({light}, {dark}) !important; }}\n"


def _as_painted(colour: str) -> str:
    """ "#1f57b0" as a browser writes it: "rgb(31, 87, 176)" """
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour.removeprefix("#")))


class FirstPaint:
    """Writes into every page that a browser opens what it needs for its first words."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app
        _stands.set()

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if not _opens_a_page(scope):
            await self._app(scope, receive, send)
            return
        begun: list[_Message] = []
        body = bytearray()

        async def send_whole(message: _Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                whole = written(bytes(body)) if _is_page(begun[0]) else bytes(body)
                begun[0]["headers"] = [*_kept(begun[0]), (b"content-length", b"%d" % len(whole))]
                await send(begun[0])
                await send({"type": "http.response.body", "body": whole})

        asked = [(name, value) for name, value in scope["headers"] if name.lower() not in AS_KEPT]
        await self._app({**scope, "headers": asked, "extensions": {}}, receive, send_whole)


def written(page: bytes) -> bytes:
    """A page as Streamlit has it, with what the first words need. The style stands last, as Streamlit's own comes into
    the head at run time, and of two rules alike the later one holds.
    """
    lines = page.split(b"<link")
    page = b"<link".join(line for line in lines if NOT_OURS not in line.split(b">")[0])
    early = "".join(f"import({one!r});" for one in _scripts(FOR_WORDS))
    fetched = "".join(f'<link rel="modulepreload" crossorigin href="{one}">' for one in _scripts(FOR_FIGURES))
    head = f'{TYPEFACE}{fetched}<script type="module">{early}</script></head>'
    page = page.replace(b"</head>", head.encode(), 1)
    return page.replace(b"</body>", f"<style>{style()}</style></body>".encode(), 1)


def _scripts(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        for script in sorted(SCRIPTS.glob(f"{name}.*.js")):
            yield f"./static/js/{script.name}"


def _opens_a_page(scope: _Message) -> bool:
    wanted = next((value for name, value in scope.get("headers", ()) if name.lower() == b"accept"), b"")
    return scope["type"] == "http" and scope["method"] == "GET" and b"text/html" in wanted


def _is_page(begun: _Message) -> bool:
    kind = next((value for name, value in begun["headers"] if name.lower() == b"content-type"), b"")
    return bool(begun["status"] == 200 and kind.startswith(b"text/html"))


def _kept(begun: _Message) -> Iterator[tuple[bytes, bytes]]:
    """Headers that are true of the page as it is sent."""
    for name, value in begun["headers"]:
        if name.lower() not in (b"content-length", b"etag", b"last-modified", b"accept-ranges"):
            yield name, value
