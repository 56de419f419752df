"""A real mail server and a real webhook on this machine, which keep what they are sent, and can be made to fail.

The mail server is aiosmtpd, with STARTTLS by a certificate of its own and a login; the webhook is an HTTP server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = b"milepost", b"correct horse"


@dataclass
class MailServer:
    port: int = 0
    letters: list[tuple[list[str], Message]] = field(default_factory=list)
    is_broken: bool = False
    was_encrypted: list[bool] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.is_broken:
            return "554 out of order CANARY"
        assert isinstance(envelope.content, bytes)
        self.letters.append((list(envelope.rcpt_tos), BytesParser().parsebytes(envelope.content)))
        self.was_encrypted.append(session.ssl is not None)
        return "250 OK"


@contextmanager
def mail_server(folder: Path, is_guarded: bool = False) -> Iterator[MailServer]:
    """With `is_guarded` nothing is taken but after STARTTLS and a login; the certificate is `folder/cert.pem`."""
    kept = MailServer()
    options: dict[str, Any] = {}
    if is_guarded:
        options = {
            "tls_context": _certified(folder),
            "require_starttls": True,
            "auth_required": True,
            "authenticator": _known,
        }
    running = _OnAFreePort(kept, hostname="127.0.0.1", port=0, **options)
    running.start()
    try:
        kept.port = running.port
        yield kept
    finally:
        running.stop()


class _OnAFreePort(Controller):  # type: ignore[misc]
    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def _known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
    is_right = isinstance(given, LoginPassword) and (given.login, given.password) == (USER, PASSWORD)
    return AuthResult(success=is_right)


def _certified(folder: Path) -> SSLContext:
    """A certificate for this machine, in `cert.pem`, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = timedelta(days=1)
    at = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), at - day, at + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    held = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(held)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@dataclass
class Webhook:
    url: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    redirects_to: str | None = None
    drips: threading.Event | None = None


@contextmanager
def webhook() -> Iterator[Webhook]:
    kept = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if kept.drips is not None:
                self._drip(kept.drips)
                return
            if kept.status == 200:
                kept.posts.append(json.loads(body))
            self.send_response(kept.status)
            if kept.redirects_to:
                self.send_header("Location", kept.redirects_to)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def _drip(self, until: threading.Event) -> None:
            """Answers letter by letter, each within any timeout, for ever."""
            while not until.wait(0.05):
                self.wfile.write(b"H")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/services/T000/B000/SECRETPART"
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
