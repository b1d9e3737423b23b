"""Clients are told apart by addresses that they cannot choose."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from service.gateway.addresses import ClientAddresses

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"), ip_network("127.0.0.1/32")]


def _address(peer: str | None, *headers: tuple[str, str], trusted: Any = TRUSTED) -> str:
    scope = {
        "type": "http",
        "client": None if peer is None else (peer, 4711),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    return ClientAddresses(trusted).of(scope)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:2:3:4:5:6:7", "2001:db8:2:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("testclient", "unknown"),
    ],
)
def test_the_peer(peer: str | None, address: str) -> None:
    assert _address(peer) == address


def test_the_services_own_proxy_says_who_its_client_is() -> None:
    assert _address("127.0.0.1", ("x-polyhead-address", "192.0.2.7"), trusted=[]) == "192.0.2.7"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1", "192.0.2.7, 10.1.2.3"], "192.0.2.7"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["[2001:db8:2:3::7]:4711"], "2001:db8:2:3::/64"),
        (["2001:db8:2:3::7"], "2001:db8:2:3::/64"),
        # What stands before it was written by nobody knows whom.
        (["192.0.2.7, unknown"], "10.0.0.1"),
        (["192.0.2.7, "], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["10.0.0.2, 10.0.0.3"], "10.0.0.1"),
        (["192.0.2.7" + ", 10.0.0.2" * 40], "10.0.0.1"),
    ],
)
def test_trusted_proxies_are_believed(forwarded: list[str], address: str) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert _address("10.0.0.1", *headers) == address
    assert _address("127.0.0.1", ("x-polyhead-address", "10.0.0.1"), *headers) == address


def test_nobody_else_is() -> None:
    forwarded = ("x-forwarded-for", "198.51.100.1")
    assert _address("192.0.2.7", forwarded) == "192.0.2.7"
    assert _address("10.0.0.1", forwarded, trusted=[]) == "10.0.0.1"
