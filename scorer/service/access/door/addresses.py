"""Who calls: the peer's address, or behind trusted proxies the one that they vouch for.

A header proves nothing by itself: it is read only from a peer that ``gateway.trusted_proxies`` names, from the right,
past those that are trusted too. What stands left of the first stranger is what that stranger chose to say.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Entries of a header that are looked at, from the right; a chain of proxies is shorter.
_MOST_HOPS = 32
_LONGEST_HEADER = 4096
_FOR = re.compile(r'\s*for\s*=\s*("[^"\\]*"|[A-Za-z0-9.]+)\s*\Z', re.IGNORECASE)


@dataclass(frozen=True)
class Proxies:
    """The proxies whose word is taken, and the one header in which they write it."""

    trusted: tuple[IpNetwork, ...] = ()
    header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"

    def client(self, peer: str, forwarded: str | None) -> str:
        """Say whose request it is. ``peer``: address of the connection; ``forwarded``: the header, where there is one.

        A malformed entry ends the walk: the last address that a trusted proxy vouched for counts.
        """
        address = _address(peer)
        if address is None:
            return peer[:64] or "-"
        for entry in self._entries(forwarded):
            if not self._trusts(address):
                break
            named = _address(entry)
            if named is None:
                break
            address = named
        return str(address)

    def _trusts(self, address: IpAddress) -> bool:
        return any(address.version == network.version and address in network for network in self.trusted)

    def _entries(self, forwarded: str | None) -> list[str]:
        """The addresses in the header, nearest proxy first."""
        if not self.trusted or not forwarded or len(forwarded) > _LONGEST_HEADER:
            return []
        entries = forwarded.split(",")[::-1][:_MOST_HOPS]
        return entries if self.header == "X-Forwarded-For" else [_for(entry) for entry in entries]


def neighbourhood(address: str) -> str:
    """Give what one caller may have all of: an IPv4 address, or the /64 of an IPv6 one."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address if found is None else str(found)


def _address(text: str) -> IpAddress | None:
    """Read an address; IPv4 within IPv6 as what it is, without a zone."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _for(element: str) -> str:
    """Read the address of one element of Forwarded (RFC 7239), without its port; empty where it names none."""
    named = [found[1] for part in element.split(";") if (found := _FOR.match(part))]
    if len(named) != 1:
        return ""
    node = named[0].strip('"')
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0]
