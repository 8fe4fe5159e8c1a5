"""An identity provider's keys: found by its discovery document, kept, and fetched again when they change.

Callers whom nobody knows can make the gateway look for a key that is not there; they make it ask the provider once a
minute at most. A provider that does not answer is waited for on its last keys, for a day.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scorer.logs import get_log
from scorer.service.settings import OidcSettings
from scorer.wire.errors import ConfigurationError, NonsenseReply, QScoreError, Unauthorised, Unavailable
from scorer.wire.transport import Peer, TlsConnection, Trust

#: Seconds for which fetched keys are taken as they are, and for which they serve while the provider does not answer.
FRESH = 3600.0
LAST = 24 * 3600.0
#: Seconds between two tries to fetch, whatever callers present.
PAUSE = 60.0
_FIRST_PAUSE = 5.0
_SECONDS = 5.0
_CAP = 512 * 1024
_MOST_KEYS = 100
_REMEDY = "Check gateway.oidc.issuer, and that this machine reaches the provider."
_PEER = Peer(
    name="the identity provider",
    form="https://login.example/realm",
    port=443,
    address="Set gateway.oidc.issuer to the issuer's https address.",
    trust="Name the PEM file of the provider's authority in gateway.oidc.ca_file.",
    silent=_REMEDY,
    slow=_REMEDY,
)
_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Provider:
    """What a provider says of itself. ``keys``: its public keys as JSON Web Keys.

    ``authorization_endpoint``, ``token_endpoint``: where people log in and where programs fetch tokens; maybe empty.
    """

    issuer: str
    keys: tuple[Mapping[str, Any], ...]
    authorization_endpoint: str = ""
    token_endpoint: str = ""


@dataclass
class Issuer:
    """One provider, asked when it must be. For any number of threads.

    Seconds: ``pause`` between two tries, ``fresh`` until keys are fetched again, ``last`` until they serve no more.
    """

    settings: OidcSettings
    pause: float = PAUSE
    fresh: float = FRESH
    last: float = LAST
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _provider: Provider | None = field(default=None, repr=False)
    _fetched: float = field(default=float("-inf"), repr=False)
    _tried: float = field(default=float("-inf"), repr=False)

    def __post_init__(self) -> None:
        _connection(self.settings, self.settings.issuer)  # a wrong address is said at the start

    def key(self, kid: str | None) -> Mapping[str, Any]:
        """Find the provider's key of this name; without a name, its only one. Raises Unauthorised, Unavailable."""
        found = _named(self.provider(), kid)
        if found is None and self._fetch():
            found = _named(self.provider(), kid)
        if found is None:
            raise Unauthorised("the identity provider has no such key", "Log in again for a new token.")
        return found

    def provider(self) -> Provider:
        """Give what the provider said last. Raises Unavailable where it has not answered for ``last`` seconds."""
        age = time.monotonic() - self._fetched
        if age > self.fresh:
            self._fetch()
        if self._provider is None or time.monotonic() - self._fetched > self.last:
            raise Unavailable("the identity provider does not answer, or is being asked", _REMEDY)
        return self._provider

    def _fetch(self) -> bool:
        """Ask the provider, unless somebody asks or did just now; whether it answered.

        Nobody waits for another's asking: a provider that hangs, and callers with made-up tokens, hold one thread.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            pause = self.pause if self._provider else min(self.pause, _FIRST_PAUSE)
            if time.monotonic() - self._tried < pause:
                return False
            self._tried = time.monotonic()
            self._provider = fetch_provider(self.settings)
            self._fetched = time.monotonic()
        except QScoreError as error:
            get_log().warning("identity_provider", problem=error.code, detail=error.detail[:300])
            return False
        finally:
            self._lock.release()
        return True


def fetch_provider(settings: OidcSettings) -> Provider:
    """Fetch discovery document and keys. Raises Unavailable's kinds."""
    said = _fetched_object(settings, settings.issuer.rstrip("/") + _DISCOVERY)
    if said.get("issuer") != settings.issuer:
        raise NonsenseReply(f"the provider calls itself {str(said.get('issuer'))[:200]!r}", _REMEDY)
    keys = _fetched_object(settings, str(said.get("jwks_uri"))).get("keys")
    if not isinstance(keys, list):
        raise NonsenseReply("the provider's keys are no list", _REMEDY)
    return Provider(
        settings.issuer,
        tuple(key for key in keys[:_MOST_KEYS] if _verifies(key)),
        str(said.get("authorization_endpoint", "")),
        str(said.get("token_endpoint", "")),
    )


def _verifies(key: object) -> bool:
    """Tell whether a key is a public one for signatures: never a shared secret, never a private key."""
    if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC", "OKP"):
        return False
    return "d" not in key and key.get("use", "sig") == "sig"


def _named(provider: Provider, kid: str | None) -> Mapping[str, Any] | None:
    named = [key for key in provider.keys if kid is None or key.get("kid") == kid]
    return named[0] if len(named) == 1 else None


def _fetched_object(settings: OidcSettings, url: str) -> dict[str, Any]:
    connection, path = _connection(settings, url)
    try:
        answer = connection.exchange("GET", path, None, {"Accept": "application/json"}, _SECONDS, _CAP)
    finally:
        connection.close()
    try:
        read = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise NonsenseReply(f"the identity provider answered {url[:200]} with status {answer.status}", _REMEDY)
    return read


def _connection(settings: OidcSettings, url: str) -> tuple[TlsConnection, str]:
    """Open nothing yet: the connection to a URL's host, and the path there. Raises ConfigurationError."""
    try:
        parts = urlsplit(url)
        host = parts.netloc
    except ValueError:
        host = ""
    if not host or parts.fragment:
        raise ConfigurationError(f"{url[:200]!r} is no address of an identity provider", _PEER.address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    trust = Trust(str(settings.ca_file) if settings.ca_file else None)
    return TlsConnection(f"{parts.scheme}://{host}", _PEER, trust), path
