"""What `[alerts]` of `milepost.toml` may say: by which mail server, to whom, and to which webhook.

Secrets never stand here: the mail server's password and the webhook's address lie in the environment or in files. What
stays out: what is told (alerting.py) and sending it (alert_channels.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from models.faults import fault
from pipelines.secret_files import secret
from pipelines.source_blocks import Frozen

LOOPBACK = ("localhost", "127.0.0.1", "::1")
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;:\"()\[\]\\]+@[^@\s<>,;:\"()\[\]\\]+$")]


class Mail(Frozen):
    """A mail server and who gets the alerts. Without `user` nobody logs in."""

    server: str = Field(pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None  # of the authority that vouches for the server, where the system does not know it
    user: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    sender: Address
    to: tuple[Address, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _a_password_is_sent_in_secret(self) -> Self:
        if self.user and not (self.password_env or self.password_file):
            raise ValueError(f"the user {self.user!r} needs password_env or password_file")
        if self.user and self.security == "none" and self.server not in LOOPBACK:
            raise ValueError('a password is not sent in the clear: set security = "starttls" or "tls"')
        return self

    def password(self, environ: Mapping[str, str] = os.environ) -> str:
        """Raises `Fault` where it is not there."""
        what = "the mail server's password"
        return secret("alerts.mail", what, self.password_env, self.password_file, environ)


class Webhook(Frozen):
    """A webhook that takes what Slack's take. Its address is a secret: whoever knows it can post."""

    url_env: str | None = None
    url_file: Path | None = None

    @model_validator(mode="after")
    def _it_lies_somewhere(self) -> Self:
        if not (self.url_env or self.url_file):
            raise ValueError("name url_env or url_file: the address is a secret and does not stand in the settings")
        return self

    def url(self, environ: Mapping[str, str] = os.environ) -> str:
        """Raises `Fault`, without the address, where it is not there or is sent in the clear."""
        url = secret("alerts.webhook", "the webhook's address", self.url_env, self.url_file, environ)
        try:
            parts = urlsplit(url)
            is_fit = bool(parts.hostname) and (parts.scheme == "https" or parts.hostname in LOOPBACK)
        except ValueError:
            is_fit = False
        if not is_fit:
            raise fault("alerts.webhook", "its address is no https address.", "Copy it whole from the tool.")
        return url


class Alerts(Frozen):
    """Who is told that a refresh failed, a source is stale or a check does not hold; nobody where it is left out."""

    timeout_seconds: float = Field(default=10.0, gt=0, le=120)
    mail: Mail | None = None
    webhook: Webhook | None = None
