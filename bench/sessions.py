"""Sessions with the dashboard as a browser holds them: Streamlit's own messages over a websocket, without the drawing.

A session opens pages and changes what stands in their controls, keeps large messages as a browser does, and says of
each view how long it took, how much was sent, and what a reader would see of it. What stays out: which pages are
opened and when (pages.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.util import calc_hash
from websockets.asyncio.client import ClientConnection, connect

PATIENCE_SECONDS = 120.0
KEPT_RUNS = 2  # how many runs a browser keeps a large message for after it was last used
CHARTS = ("plotly_chart",)
_WIDGET = re.compile(r"^\$\$ID-[0-9a-f]+-(.+)$")
_TILE = re.compile(r'data-measure="(\w+)" data-value="([^"]*)"')
_SNAPSHOT = re.compile(r'data-snapshot="([^"]+)"')


@dataclass(slots=True)
class View:
    """One run of a page as its reader had it. Seconds are from the asking; `first_chart` is None without a figure."""

    page: str
    link: str = ""  # the query that holds its filters
    seconds: float = 0.0
    first_chart: float | None = None
    sent: int = 0
    charts: int = 0
    snapshots: set[str] = field(default_factory=set)
    tiles: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Session:
    """One reader. `page` is where they are; `controls` knows the ids of what can be set, by key."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._states: dict[str, WidgetState] = {}
        self._kept: dict[str, tuple[int, ForwardMsg]] = {}
        self._runs = 0
        self._query = ""
        self.page = "overview"
        self.controls: dict[str, str] = {}
        self.options: dict[str, Sequence[str]] = {}

    async def open(self, page: str) -> View:
        """Goes to a page by its link in the navigation; the filters stay."""
        self.page = page
        return await self._run()

    async def choose(self, **chosen: Sequence[str] | str) -> View:
        """Sets controls by key (texts as a reader sees them) and waits for the page to be drawn anew."""
        for key, value in chosen.items():
            self._set(self.controls[key], value)
        return await self._run()

    def _set(self, control: str, value: Sequence[str] | str) -> None:
        state = WidgetState(id=control)
        if isinstance(value, str):
            state.string_value = value
        else:
            state.string_array_value.data.extend(value)
            state.string_array_value.SetInParent()
        self._states[control] = state

    async def _run(self) -> View:
        asked = BackMsg()
        asked.rerun_script.query_string = self._query
        asked.rerun_script.widget_states.widgets.extend(self._states.values())
        if self._runs:
            asked.rerun_script.page_script_hash = calc_hash("" if self.page == "overview" else self.page)
        else:
            asked.rerun_script.page_name = "" if self.page == "overview" else self.page
        asked.rerun_script.cached_message_hashes.extend(self._kept)
        asked.rerun_script.context_info.locale = "en-US"
        view = View(self.page)
        began = time.perf_counter()
        await self._connection.send(asked.SerializeToString())
        async for size, message in self._messages():
            view.sent += size
            took = time.perf_counter() - began
            self._read(message, view, took)
            if message.WhichOneof("type") == "script_finished" and not self._is_interim(message):
                view.seconds, view.link = took, self._query
                break
        self._forget()
        return view

    async def _messages(self) -> AsyncIterator[tuple[int, ForwardMsg]]:
        """What the server sends, with its size; a reference stands for the large message that was kept."""
        async for data in self._connection:
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            if message.WhichOneof("type") == "ref_hash":
                kept = self._kept[message.ref_hash][1]
                self._kept[message.ref_hash] = (self._runs, kept)
                message = kept
            elif message.metadata.cacheable:
                self._kept[message.hash] = (self._runs, message)
            yield len(data), message
        raise ConnectionError("the server closed the session")

    def _read(self, message: ForwardMsg, view: View, took: float) -> None:
        kind = message.WhichOneof("type")
        if kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            view.errors.append("the script did not compile")
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(message.delta.new_element, view, took)

    def _element(self, element: Any, view: View, took: float) -> None:
        name = element.WhichOneof("type")
        if name == "exception":
            view.errors.append(element.exception.message)
        elif name == "alert":
            view.errors.append(element.alert.body)
        elif name == "html":
            view.tiles.update(_TILE.findall(element.html.body))
            view.snapshots.update(_SNAPSHOT.findall(element.html.body))
        elif name in CHARTS:
            view.charts += 1
            view.first_chart = took if view.first_chart is None else view.first_chart
        part = getattr(element, name)
        if found := _WIDGET.match(getattr(part, "id", "")):
            self.controls[found[1]] = part.id
            self._mount(found[1], name, part)

    def _mount(self, key: str, name: str, part: Any) -> None:
        """A browser tells the server what stands in each control, also where nobody touched it."""
        if name not in ("selectbox", "multiselect", "button_group"):
            return
        options = [one.content if name == "button_group" else one for one in part.options]
        self.options[key] = options
        if part.id in self._states and not part.set_value:
            return
        if name == "selectbox":
            value = part.raw_value if part.set_value else options[part.default] if part.HasField("default") else None
        else:
            value = list(part.raw_values) if part.set_value else [options[place] for place in part.default]
        if value is not None:
            self._set(part.id, value)

    @staticmethod
    def _is_interim(message: ForwardMsg) -> bool:
        """A run that ended because another begins at once."""
        return message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def _forget(self) -> None:
        self._runs += 1
        self._kept = {name: kept for name, kept in self._kept.items() if self._runs - kept[0] <= KEPT_RUNS}


@asynccontextmanager
async def session(port: int) -> AsyncIterator[Session]:
    """A reader who has come to the dashboard on that port and seen nothing yet."""
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with connect(
        address, subprotocols=["streamlit"], max_size=None, max_queue=None, compression=None, proxy=None,  # type: ignore[list-item]
        open_timeout=PATIENCE_SECONDS, ping_timeout=None,
    ) as connection:  # fmt: skip
        yield Session(connection)
