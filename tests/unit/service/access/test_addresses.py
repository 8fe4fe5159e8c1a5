"""Whose request it is: the peer, or whom trusted proxies vouch for."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from scorer.service.access.door.addresses import Proxies, neighbourhood

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("203.0.113.7", "192.0.2.1", "203.0.113.7"),  # a stranger's header says nothing
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        (
            "10.0.0.1",
            "198.51.100.9, 192.0.2.1, 10.0.0.2",
            "192.0.2.1",
        ),  # a stranger may say anything
        ("10.0.0.1", "192.0.2.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "nonsense, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1,", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1:443", "10.0.0.1"),
        ("10.0.0.1", "010.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1," * 3000, "10.0.0.1"),
        ("", "192.0.2.1", "-"),
        ("unix:", "192.0.2.1", "unix:"),
    ],
)
def test_x_forwarded_for(peer: str, header: str | None, expected: str) -> None:
    assert Proxies(TRUSTED).client(peer, header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ('for="192.0.2.1:4711";proto=https', "192.0.2.1"),
        ('For="[2001:db8::7]:4711"', "2001:db8::7"),
        ("for=198.51.100.9, for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
        ("for=unknown", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
        ('for="192.0.2.1', "10.0.0.1"),
    ],
)
def test_forwarded(header: str, expected: str) -> None:
    assert Proxies(TRUSTED, "Forwarded").client("10.0.0.1", header) == expected


def test_nobody_is_trusted_as_it_comes() -> None:
    assert Proxies().client("127.0.0.1", "192.0.2.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("-", "-"),
        ("", ""),
    ],
)
def test_neighbourhoods(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected
