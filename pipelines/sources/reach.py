"""Where a tool may be asked: never where a cloud tells its machines secrets, and inside only where the settings say so.

An address is judged when it is resolved and again when it is connected, before a byte is sent, whatever led there: the
settings, a redirect, a name, another spelling of a number. Loopback and private networks are open to the hosts that the
settings name, and to nothing that a tool's answer leads to. What stays out: asking (door.py).
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

# Amazon, Google, Azure, Alibaba and Oracle answer on these with keys to the machine's own account.
_METADATA = tuple(
    ip_network(told)
    for told in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/64", "100.100.100.200/32", "192.0.0.192/32",
                 "168.63.129.16/32")
)  # fmt: skip
_METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data",
                   "instance-data.ec2.internal")  # fmt: skip
_WRAPPED = tuple(ip_network(told) for told in ("64:ff9b::/96", "::/96"))  # an IPv4 address in the last four bytes


class Forbidden(Exception):
    """A place that is not asked, and why: the end of a sentence that names the host."""


class Reach:
    """What one source may reach. `inside` names the hosts that may stand on this machine or in a private network."""

    def __init__(self, inside: Collection[str]) -> None:
        self.inside = frozenset(_plain(host) for host in inside)

    def refuse_name(self, host: str) -> None:
        """Raises `Forbidden` for a name, or an address written as a number, that need not be resolved to be known."""
        told = _plain(host)
        if told in _METADATA_NAMES:
            raise Forbidden(_SECRETS)
        try:
            address = IPv4Address(socket.inet_aton(told))  # reads 0xA9FEA9FE, 2852039166 and 0251.254 as a browser does
        except (OSError, ValueError):
            try:
                address = ip_address(told)  # type: ignore[assignment]
            except ValueError:
                return
        self.refuse_address(str(address), told)

    def refuse_address(self, address: str, host: str) -> None:
        """Raises `Forbidden` where a host's address may not be asked."""
        judged = _unwrapped(address)
        if any(judged in network for network in _METADATA):
            raise Forbidden(_SECRETS)
        if not judged.is_global and _plain(host) not in self.inside and not self._is_known_inside(judged):
            raise Forbidden(f"stands at {judged}, on this machine or in a private network, and no setting names it")

    def resolved(self, host: str, port: int | None) -> list[str]:
        """The addresses of a host, each of which may be asked; none where it is not known."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        addresses = [str(one[4][0]) for one in found]
        for address in addresses:
            self.refuse_address(address, host)
        return addresses

    def _is_known_inside(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether it is an address of a host that the settings name, under another name of it."""
        for host in self.inside:
            try:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            known = [_unwrapped(str(one[4][0])) for one in found]
            if address in known or (address.is_loopback and any(one.is_loopback for one in known)):
                return True
        return False


_SECRETS = "is where a cloud tells its machines their secrets"


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    """An address without its zone; an IPv4 address that is written as an IPv6 one as what it is."""
    judged = ip_address(address.partition("%")[0])
    if isinstance(judged, IPv4Address):
        return judged
    if judged.ipv4_mapped is not None:
        return judged.ipv4_mapped
    if judged.sixtofour is not None:
        return judged.sixtofour
    if judged.packed[-4:] > b"\0\0\0\1" and any(judged in network for network in _WRAPPED):
        return IPv4Address(judged.packed[-4:])
    return judged


class Adapter(HTTPAdapter):  # type: ignore[misc]
    """Connects only to what a source may reach."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, reach=self.reach),
            "https": partial(_SecurePool, reach=self.reach),
        }

    def send(self, request: Any, *args: Any, **named: Any) -> Any:
        self.reach.refuse_name(urlsplit(request.url).hostname or "")
        return super().send(request, *args, **named)


class _Checked:
    """What both kinds of connection share: an address is judged before and after it is connected."""

    reach: Reach

    def _new_conn(self) -> socket.socket:
        host = self._dns_host  # type: ignore[attr-defined]
        self.reach.resolved(host, self.port)  # type: ignore[attr-defined]
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        try:
            self.reach.refuse_address(str(connected.getpeername()[0]), host)
        except Forbidden:
            connected.close()
            raise
        return connected


class _Connection(_Checked, HTTPConnection):
    def __init__(self, *args: Any, reach: Reach, **named: Any) -> None:
        self.reach = reach
        super().__init__(*args, **named)


class _SecureConnection(_Checked, HTTPSConnection):
    def __init__(self, *args: Any, reach: Reach, **named: Any) -> None:
        self.reach = reach
        super().__init__(*args, **named)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
