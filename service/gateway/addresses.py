"""The address of a client, also behind proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["ADDRESS_HEADER", "ClientAddresses"]

ADDRESS_HEADER = "x-polyhead-address"
"""The service's own proxies set it, whatever a client has sent."""
_NETWORK_BITS = 64
_UNKNOWN = "unknown"
_MOST_FORWARDED = 32
"""Addresses of X-Forwarded-For that are looked at, from its end."""


class ClientAddresses:
    """Tells clients apart: by IPv4 address, or by the /64 of their IPv6 address.

    Args:
        trusted: networks of the proxies in front whose X-Forwarded-For is believed.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str:
        """The address of the client that sent a request, or the network that stands for it."""
        headers = Headers(scope=scope)
        peer = scope.get("client")
        address = _parsed(headers.get(ADDRESS_HEADER) or (peer[0] if peer else ""))
        if self._trusted and address is not None and self._is_trusted(address):
            address = self._forwarded(headers.getlist("x-forwarded-for")) or address
        return _network(address)

    def _forwarded(self, headers: Sequence[str]) -> IPv4Address | IPv6Address | None:
        """The last address that is not a trusted proxy's; None if there is none to believe."""
        entries = ",".join(headers).split(",")[-_MOST_FORWARDED:]
        for entry in reversed(entries):
            address = _parsed(entry.strip())
            if address is None:
                return None  # what stands before it was written by nobody knows whom
            if not self._is_trusted(address):
                return address
        return None

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    # As some proxies write it: 192.0.2.7:4711, [2001:db8::7]:4711.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(address: IPv4Address | IPv6Address | None) -> str:
    if address is None:
        return _UNKNOWN
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))
