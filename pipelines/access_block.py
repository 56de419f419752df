"""What `[access]` of `milepost.toml` may say: where people sign in, and what each may see; and where to listen.

Secrets never stand here. What stays out: signing in, and holding anybody to what they may see (dashboard/).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from models.faults import fault
from pipelines.secret_files import secret
from pipelines.source_blocks import Frozen

Role = Literal["leadership", "finance", "pm", "client"]
LEAST_COOKIE_SECRET = 32
CALLBACK = "/oauth2callback"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refuse_open_address(access: Access | None, address: str) -> None:
    """Raises `Fault` for an address that others reach, where nobody signs in or sign-ins would go in the clear."""
    if address in _LOOPBACK:
        return
    if access is None:
        what = f"nobody signs in, and {address} is reached by others; only this machine is answered."
        raise fault("--address", what, "Leave --address out, or say under [access] who may open the dashboard.")
    if not access.is_https:
        what = f"{address} is reached by others, and {access.url} would carry sign-ins in the clear."
        raise fault("--address", what, "Give [access] an https url, with a proxy in front: docs/deploying.md")


class Person(Frozen):
    """One person by e-mail, or everybody whose sign-in names a group; and what they may see."""

    email: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    group: str | None = Field(default=None, min_length=1)
    role: Role
    clients: tuple[str, ...] = ()  # a client's: ids as source:key; every id a client has in the tools
    managers: tuple[str, ...] = ()  # a pm's: only projects of these managers, as the tools write them
    projects: tuple[str, ...] = ()  # a pm's: only these projects, as source:key
    money: bool = True  # a pm's: whether amounts are shown

    @field_validator("email")
    @classmethod
    def _email_is_small(cls, email: str | None) -> str | None:
        return email and email.lower()

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if (self.email is None) == (self.group is None):
            raise ValueError("needs either email or group, and not both")
        if self.role == "client" and not self.clients:
            raise ValueError('a client needs clients, such as clients = ["studio:c-17"]')
        if self.role != "client" and self.clients:
            raise ValueError(f"clients are named for the role client, not for {self.role}")
        if self.role != "pm" and (self.managers or self.projects or not self.money):
            raise ValueError(f"managers, projects and money are for the role pm, not for {self.role}")
        if strange := [one for one in (*self.clients, *self.projects) if ":" not in one]:
            raise ValueError(f"{strange[0]!r} is no id: write source:key")
        return self


class Access(Frozen):
    """Who may open the dashboard. With this block nobody is let in who is not in `people`."""

    url: str  # where people open the dashboard
    issuer: str  # the OpenID Connect provider
    client_id: str = Field(min_length=1)
    client_secret_env: str | None = None
    client_secret_file: Path | None = None
    cookie_secret_env: str | None = None
    cookie_secret_file: Path | None = None
    groups_claim: str = Field(default="groups", min_length=1)
    scope: str = "openid email profile"
    session_hours: float = Field(default=12, gt=0, le=720)
    people: tuple[Person, ...] = Field(min_length=1)

    @field_validator("url", "issuer")
    @classmethod
    def _is_safe_to_send_secrets_to(cls, url: str) -> str:
        told = urlsplit(url)
        if told.scheme not in ("https", "http") or not told.hostname or told.query or told.fragment:
            raise ValueError(f"{url!r} is no address such as https://milepost.example.com")
        if told.scheme == "http" and told.hostname not in _LOOPBACK:
            raise ValueError(f"{url!r} would carry who people are in the clear: use https")
        return url.rstrip("/")

    @field_validator("url")
    @classmethod
    def _has_no_path(cls, url: str) -> str:
        if urlsplit(url).path:
            raise ValueError(f"{url!r} has a path: Milepost is served at the root of a host")
        return url

    @field_validator("scope")
    @classmethod
    def _asks_who_it_is(cls, scope: str) -> str:
        if "openid" not in scope.split():
            raise ValueError("scope must hold openid")
        return scope

    @model_validator(mode="after")
    def _secrets_are_named_and_people_are_once(self) -> Self:
        for what in ("client_secret", "cookie_secret"):
            if not (getattr(self, f"{what}_env") or getattr(self, f"{what}_file")):
                raise ValueError(f"needs {what}_env or {what}_file")
        known = [one.email or one.group for one in self.people]
        if twice := [name for name in known if known.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is there twice: what one may see stands in one place")
        return self

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_https(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    def provider(self, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """What `st.login` needs, secrets among it: to be kept in memory. Raises `Fault` where a secret is missing."""
        cookie = secret("access", "the cookie secret", self.cookie_secret_env, self.cookie_secret_file, environ)
        if len(cookie.encode()) < LEAST_COOKIE_SECRET:
            raise fault("access", f"the cookie secret has fewer than {LEAST_COOKIE_SECRET} bytes.",
                        "Give it a random one: python -c 'import secrets; print(secrets.token_hex(32))'")  # fmt: skip
        return {
            "redirect_uri": f"{self.url}{CALLBACK}",
            "cookie_secret": cookie,
            "client_id": self.client_id,
            "client_secret": secret(
                "access", "the client secret", self.client_secret_env, self.client_secret_file, environ
            ),
            "server_metadata_url": f"{self.issuer}/.well-known/openid-configuration",
            "client_kwargs": {"scope": self.scope},
        }
