"""The server of the pages, as `milepost dashboard` starts it: where it listens, its secrets, and what it never serves.

Without `[access]` in the settings it listens on this machine alone. Secrets are handed to Streamlit in memory and
never written to a file. What stays out: who may see what (access.py), and TLS, which a proxy in front brings
(docs/deploying.md).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from streamlit.web.server.starlette import starlette_websocket
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from dashboard import access, ahead, data
from dashboard.first_paint import FirstPaint
from models.faults import Fault
from pipelines import settings as settings_
from pipelines.access_block import Access, refuse_open_address
from pipelines.secret_files import OTHERS

HERE = Path(__file__).resolve().parent
CLOSED = ("/_stcore/metrics", "/_stcore/upload_file", "/_stcore/agent")  # nothing that a page needs
FOR_VIEWERS = "/media/"  # files that pages offer
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Streamlit's own page writes styles and one script into itself, and its charts compile expressions.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
}
_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Asgi = Callable[[_Message, Callable[[], Awaitable[_Message]], _Send], Awaitable[None]]


class Guard:
    """Stands before Streamlit: headers, cookies that end in time, closed doors, and files for viewers alone."""

    def __init__(self, app: _Asgi, policy: Callable[[], access.Policy | None], *, block: Access | None) -> None:
        self._app, self._policy, self._block = app, policy, block

    async def __call__(self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(self._headers(scope["path"], message.get("headers", ())))
            await send(message)

        path = str(scope["path"])
        if path.startswith(CLOSED) or (path.startswith(FOR_VIEWERS) and not self._is_viewer(scope)):
            await PlainTextResponse("There is nothing here.\n", 404)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _headers(self, path: str, sent: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        for name, value in sent:
            lowered = name.lower()
            if lowered == b"set-cookie":
                yield name, self._cookie(value.decode("latin-1")).encode("latin-1")
            elif lowered.decode("latin-1") not in HEADERS and not (lowered == b"cache-control" and _is_media(path)):
                yield name, value
        for told, text in HEADERS.items():
            yield told.encode(), text.encode()
        if _is_media(path):
            yield b"cache-control", b"no-store"
        if self._block and self._block.is_https:
            yield b"strict-transport-security", b"max-age=31536000"

    def _cookie(self, cookie: str) -> str:
        """Sign-ins end when the settings say so, not after Streamlit's thirty days; over TLS they go nowhere else."""
        if self._block is None:
            return cookie
        if cookie.startswith(USER_COOKIE_NAME):
            most = int(self._block.session_hours * 3600)
            cookie = re.sub(r"(?i)max-age=(\d+)", lambda found: f"Max-Age={min(int(found[1]), most)}", cookie)
        return f"{cookie}; Secure" if self._block.is_https and "secure" not in cookie.lower() else cookie

    def _is_viewer(self, scope: _Message) -> bool:
        """Whether a request comes from somebody who may open the pages."""
        try:
            policy = self._policy()
            if policy is None:
                return self._block is None
            origin = self._block.url if self._block else ""
            cookies = HTTPConnection(scope).cookies
            signed = starlette_websocket._get_signed_cookie_with_chunks(cookies, USER_COOKIE_NAME)
            claims = starlette_websocket._parse_decoded_user_cookie(signed, origin) if signed else {}
        except Fault:
            return False
        return isinstance(access.admit(claims, policy, time.time), access.Viewer)


def _is_media(path: str) -> bool:
    return path.startswith(FOR_VIEWERS)


def main(arguments: list[str]) -> None:
    """Serves until it is ended. Raises `Fault` for settings that do not fit, and for an address nobody guards."""
    told = argparse.ArgumentParser(prog="python -m dashboard.serving")
    told.add_argument("--address", default="127.0.0.1")
    told.add_argument("--port", type=int, default=8501)
    given = told.parse_args(arguments)
    block = settings_.load().access
    refuse_open_address(block, given.address)
    os.umask(OTHERS)
    ahead.ask_beside()
    warnings.filterwarnings("ignore", message="The httpx module is deprecated")  # Authlib's, when somebody signs in
    app = st.App(
        HERE / "app.py",
        secrets={"auth": block.provider()} if block else None,
        middleware=[Middleware(Guard, policy=data.policy, block=block), Middleware(FirstPaint)],
    )
    options: dict[str, Any] = {"server.address": given.address, "server.port": given.port}
    if block:
        options["server.allowedHosts"] = [block.host]
    app.run(config=options)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Fault as error:
        sys.exit(str(error))
