"""Asks one tool over HTTP, with patience, and says plainly what is wrong with an answer.

A request is tried again while the tool fails, hurries us or breaks off, with waits that the tool names in its own
headers and units, else doubling ones with jitter; then it ends in a `Fault`. What stays out: what is asked for and
what the answers mean (the kinds), and rows (landing.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.exceptions import ChunkedEncodingError, InvalidHeader

from models.faults import Fault, fault
from pipelines.sources.reach import Adapter, Forbidden, Reach

Unit = Literal["seconds", "epoch", "epoch_ms", "iso"]
Complaint = Callable[[Any], str | None]
_SEE_LOG = "Pull again; if it stays, look at the tool's own log."
_REACH = "Check the url of the source, and where it redirects to."
_WORDS = ("detail", "Detail", "message", "Message", "error_description", "errorMessage", "title", "help")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is tried, and how long is waited in between at most, in seconds."""

    attempts: int = 5
    backoff_seconds: float = 0.5
    ceiling_seconds: float = 60.0
    timeout_seconds: float = 60.0


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Limits:
    """The headers by which a tool says how long to wait, how many requests are left and when there are more.

    `seconds` count from now (an HTTP date is understood too); `epoch`, `epoch_ms` and `iso` are instants.
    Of several `left` headers the smallest number counts. `reason` is the header that says which limit was met.
    """

    wait: str = "Retry-After"
    wait_unit: Unit = "seconds"
    left: tuple[str, ...] = ()
    allowed: str | None = None
    reset: str | None = None
    reset_unit: Unit = "epoch"
    reason: str | None = None


USUAL = Limits()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered: the status, the headers (names in any case), and the body read from JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


def said(body: Any) -> str | None:
    """The words of an error document, in the shapes that tools give it; None where there are none."""
    if isinstance(body, str):
        return body or None
    if isinstance(body, list):
        return next((words for one in body if (words := said(one))), None)
    if isinstance(body, dict):
        for name in (*_WORDS, "error", "errors", "errorMessages", "Elements", "ValidationErrors"):
            if name in body and (words := said(body[name])):
                return words
    return None


def errors_in_page(body: Any) -> str | None:
    """What a 200 complains of: a list `errors` and no data, as GraphQL answers."""
    if isinstance(body, dict) and body.get("errors") and not body.get("data"):
        return said(body["errors"]) or "errors without a word"
    return None


class Credentials(AuthBase):  # type: ignore[misc]
    """Headers that prove who asks. As an auth they outrank a .netrc and are dropped on the way to another host."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = dict(headers)

    def __call__(self, request: Any) -> Any:
        request.headers.update(self.headers)
        return request


def bearer(secret: str) -> Credentials:
    return Credentials({"Authorization": f"Bearer {secret}"})


class _Session(requests.Session):  # type: ignore[misc]
    """A session whose credentials stay with the host they are for, also where a redirect leads elsewhere."""

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        if self.should_strip_auth(response.request.url, prepared_request.url):
            for name in getattr(self.auth, "headers", {}):
                prepared_request.headers.pop(name, None)
        super().rebuild_auth(prepared_request, response)


class Door:
    """One tool, as one source asks it. `url` is what every path is put behind; `secrets` show in no message."""

    def __init__(
        self,
        source: str,
        url: str,
        credentials: AuthBase,
        *,
        patience: Patience = PATIENT,
        limits: Limits = USUAL,
        headers: Mapping[str, str] = {},
        complaint: Complaint = errors_in_page,
        secrets: Collection[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source = source
        self.url = url.rstrip("/")
        self.headroom: str | None = None  # what the last answer said of the limit
        self._patience, self._limits, self._complaint, self._sleep = patience, limits, complaint, sleep
        self._dice = Random(source)  # sources that fail together are not to come back together
        self._secrets = [re.compile(rf"(?<!\w){re.escape(one)}(?!\w)") for one in secrets if one]
        self._session = _Session()
        self._session.auth = credentials
        self._session.headers.update(headers)
        reach = Adapter(Reach([urlsplit(self.url).hostname or ""]))
        self._session.mount("http://", reach)
        self._session.mount("https://", reach)
        self._pause = 0.0  # seconds to wait before the next request, because none is left

    def get(
        self,
        path: str,
        params: Mapping[str, Any] = {},
        headers: Mapping[str, str] = {},
        accepts: Collection[int] = (),
    ) -> Answer:
        """The answer to a GET. Statuses in `accepts` are answers too, their body as it is, None where it is no JSON."""
        return self._ask("GET", path, {"params": params, "headers": headers}, accepts)

    def post(self, path: str, sent: Any, headers: Mapping[str, str] = {}, accepts: Collection[int] = ()) -> Answer:
        """The answer to a POST of JSON that only asks, so that it may be tried again."""
        return self._ask("POST", path, {"json": sent, "headers": headers}, accepts)

    def post_form(self, path: str, sent: Mapping[str, str], accepts: Collection[int] = ()) -> Answer:
        """The answer to a POST of a form that only asks, so that it may be tried again."""
        return self._ask("POST", path, {"data": sent}, accepts)

    def fault(self, path: str, what: str, cure: str, method: str = "GET") -> Fault:
        """A fault about what this door gave, for a kind that finds something wrong in a body."""
        return fault(f"source {self.source}, {method} {self.url}{path}", self._without_secrets(what), cure)

    def _without_secrets(self, words: str) -> str:
        for secret in self._secrets:
            words = secret.sub("…", words)
        return words

    def _ask(self, method: str, path: str, told: Mapping[str, Any], accepts: Collection[int]) -> Answer:
        last: Fault | None = None
        for attempt in range(self._patience.attempts):
            wait = 0.0
            try:
                response = self._send(method, path, told)
                if response.status_code in accepts:
                    return Answer(response.status_code, response.headers, _body_or_none(response))
                if not _is_passing(response.status_code):
                    return self._understood(method, path, response)
                wait = self._asked_wait(response)
                last = self._refusal(method, path, response)
            except _Broken as broken:
                last = broken.fault
            if attempt + 1 < self._patience.attempts:
                self._sleep(min(wait or self._backoff(attempt), self._patience.ceiling_seconds))
        assert last is not None, "there is at least one attempt"
        raise last

    def _send(self, method: str, path: str, told: Mapping[str, Any]) -> requests.Response:
        if self._pause:
            self._sleep(min(self._pause, self._patience.ceiling_seconds))
        try:
            response = self._session.request(
                method, f"{self.url}{path}", timeout=self._patience.timeout_seconds, **told
            )
        except Forbidden as error:
            what = f"may not be asked: it {error}."
            raise self.fault(path, what, _REACH, method) from None
        except ChunkedEncodingError:
            what = "breaks off in the middle of a page, every time it is asked."
            raise _Broken(self.fault(path, what, _SEE_LOG, method)) from None
        except (UnicodeError, InvalidHeader):
            what, cure = "cannot be asked: a header cannot hold such letters.", "Check the token: copy it anew."
            raise self.fault(path, what, cure, method) from None
        except requests.RequestException as error:
            what, cure = f"cannot be reached ({_cause(error)}).", "Check that the tool runs, and the source's url."
            raise _Broken(self.fault(path, what, cure, method)) from None
        self._note_headroom(response)
        return response

    def _backoff(self, attempt: int) -> float:
        return float(self._patience.backoff_seconds * 2**attempt * self._dice.uniform(0.5, 1.0))

    def _asked_wait(self, response: requests.Response) -> float:
        """Seconds the tool asks to wait; 0 where it does not say. Its own clock dates the instants it names."""
        return _seconds(response, self._limits.wait, self._limits.wait_unit)

    def _note_headroom(self, response: requests.Response) -> None:
        limits = self._limits
        left = [int(told) for name in limits.left if (told := response.headers.get(name, "")).isdigit()]
        allowed = response.headers.get(limits.allowed, "") if limits.allowed else ""
        if left:
            self.headroom = f"{min(left)}{f' of {allowed}' if allowed else ''} requests left"
        is_used_up = bool(left) and min(left) == 0 and limits.reset
        self._pause = _seconds(response, str(limits.reset), limits.reset_unit) if is_used_up else 0.0

    def _understood(self, method: str, path: str, response: requests.Response) -> Answer:
        """The answer as JSON. Raises `Fault` for one that refuses, `_Broken` for one worth asking for again."""
        if response.status_code >= 400:
            raise self._refusal(method, path, response)
        body = self._parsed(method, path, response)
        if words := self._complaint(body):
            raise self.fault(path, f"answers with an error: {self._without_secrets(words)[:300]}.", _SEE_LOG, method)
        return Answer(response.status_code, response.headers, body)

    def _parsed(self, method: str, path: str, response: requests.Response) -> Any:
        content = response.content
        try:
            return json.loads(content, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            if _is_html(response):
                cure = "Check the url of the source: it may lead to a login page or a proxy."
                raise _Broken(self.fault(path, "answers an HTML page instead of JSON.", cure, method)) from None
            what = f"answers a page that is not whole JSON ({error}; {len(content)} bytes)."
            raise _Broken(self.fault(path, what, _SEE_LOG, method)) from None

    def _refusal(self, method: str, path: str, response: requests.Response) -> Fault:
        status = response.status_code
        words = said(_body_or_none(response))
        told = f": {self._without_secrets(words)[:200]}" if words else ""
        if status == 401:
            cure = f"Set the token of source {self.source} anew: it is wrong, expired or another firm's."
            return self.fault(path, "refuses the token (401).", cure, method)
        if status == 403:
            cure = f"Give the account of source {self.source} the right to read it, or set another token."
            return self.fault(path, f"refuses the token (403){told}.", cure, method)
        if status == 429:
            waits = response.headers.get(self._limits.wait, "nothing")
            reason = response.headers.get(self._limits.reason, "") if self._limits.reason else ""
            why = f", {self._limits.reason}: {reason}" if reason else ""
            what = f"still says that it is asked too often (429{why}, {self._limits.wait}: {waits})."
            return self.fault(path, what, "Pull again later.", method)
        cure = "Pull again later." if status >= 500 else "Check the url and the settings of the source."
        return self.fault(path, f"answers {status}{told}.", cure, method)


class _Broken(Exception):
    """An answer worth asking for again; the fault that it ends in."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


def _is_passing(status: int) -> bool:
    return status == 429 or status >= 500


def _is_html(response: requests.Response) -> bool:
    return response.content.lstrip()[:1] == b"<" or "html" in response.headers.get("Content-Type", "")


def _body_or_none(response: requests.Response) -> Any:
    try:
        return json.loads(response.content, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def _seconds(response: requests.Response, header: str, unit: Unit) -> float:
    told = response.headers.get(header, "").strip()
    try:
        if unit == "seconds":
            return max(0.0, float(told))
        until = {"epoch": lambda: float(told), "epoch_ms": lambda: float(told) / 1000}.get(unit, lambda: _iso(told))()
    except ValueError:
        until = _http_date(told)
    now = _http_date(response.headers.get("Date", ""))
    return max(0.0, until - now) if until and now else 0.0


def _iso(told: str) -> float:
    moment = datetime.fromisoformat(told)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _http_date(told: str) -> float:
    try:
        return parsedate_to_datetime(told).timestamp()
    except ValueError:
        return 0.0


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _cause(error: requests.RequestException) -> str:
    text = str(error)
    for plain in ("Connection refused", "Name or service not known", "timed out", "certificate"):
        if plain.lower() in text.lower():
            return plain.lower()
    return type(error).__name__
