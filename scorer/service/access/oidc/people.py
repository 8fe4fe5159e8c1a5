"""People, by OpenID Connect: an ID token of the configured provider is verified, and says who somebody is.

It opens nothing by itself. It is exchanged at ``POST /v1/token`` for a token of qscore, with the rights of the lines of
``api_keys.json`` that stand for one of the person's claims, such as ``groups=soc-analysts``. So revoking such a line
ends what everybody has under it, at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from scorer.service.access.oidc.issuer import Issuer
from scorer.service.settings import OidcSettings
from scorer.wire.errors import BadOption, ConfigurationError, Unauthorised

_REQUIRED = ["iss", "aud", "exp", "iat", "sub"]
_LONGEST = 16 * 1024
_LONGEST_SUBJECT = 128


@dataclass(frozen=True)
class Person:
    """Somebody for whom the provider vouched. ``claims``: what it said, verified."""

    subject: str
    claims: Mapping[str, Any]

    def has(self, claim: str) -> bool:
        """Tell whether the person has ``name=value``, where the claim is that text or a list with it.

        A name with dots leads into objects: ``realm_access.roles=soc``.
        """
        name, _, value = claim.partition("=")
        found = self._at(name)
        return value in (found if isinstance(found, list) else [found])

    def _at(self, name: str) -> object:
        if name in self.claims:
            return self.claims[name]
        found: object = self.claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


@dataclass(frozen=True)
class People:
    """Verifies the ID tokens of one provider."""

    settings: OidcSettings
    issuer: Issuer

    @classmethod
    def of(cls, settings: OidcSettings) -> People | None:
        """Make the verifier; None where no provider is set. Raises ConfigurationError."""
        if not settings.issuer:
            return None
        if not settings.client_id:
            raise ConfigurationError(
                "gateway.oidc.client_id is not set", "Set the id under which the provider knows qscore."
            )
        return cls(settings, Issuer(settings))

    def person(self, token: str) -> Person:
        """Verify an ID token and say whose it is. Raises Unauthorised, Unavailable.

        Signature by an allowed algorithm and the provider's key of that name; issuer, audience, authorised party, and
        times within ``leeway``.
        """
        try:
            claims = self._verified(token)
            made = float(claims["iat"])
        except jwt.PyJWTError as error:
            raise _refused(str(error)) from None
        except (ValueError, TypeError, RecursionError):
            raise _refused("it cannot be read") from None
        party = claims.get("azp", None if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 else self._client)
        if party != self._client:
            raise _refused("it was made for another party")
        if made < time.time() - self.settings.max_age - self.settings.leeway:
            raise _refused(f"it was made more than {self.settings.max_age:g} s ago")
        return Person(self._subject(claims), claims)

    @property
    def _client(self) -> str:
        return self.settings.client_id

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise _refused("it is too long")
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in self.settings.algorithms:  # before anybody is asked for a key
            raise _refused(f"its algorithm {str(algorithm)[:20]!r} is not allowed")
        found = self.issuer.key(header.get("kid"))
        if found.get("alg", algorithm) != algorithm:
            raise _refused("its key is for another algorithm")
        return jwt.decode(
            token,
            jwt.PyJWK(dict(found), algorithm),
            algorithms=list(self.settings.algorithms),
            audience=self.settings.audience or self._client,
            issuer=self.settings.issuer,
            leeway=self.settings.leeway,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )

    def _subject(self, claims: Mapping[str, Any]) -> str:
        subject = claims.get(self.settings.subject_claim)
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise _refused(f"it has no {self.settings.subject_claim} that could name somebody")
        return subject


def looks_like_one(secret: str) -> bool:
    """Tell whether a bearer credential has the form of an ID token, which no key and no token of ours has."""
    return secret.startswith("eyJ") and secret.count(".") == 2


def check_claim(text: str) -> str:
    """Check ``name=value`` as a line of the key file has it. Raises BadOption."""
    name, equals, value = text.partition("=")
    if not (name and equals and value) or len(text) > 256 or not text.isprintable():
        raise BadOption(f"{text[:80]!r} is no claim", "Write it like groups=soc-analysts.")
    return text


def _refused(why: str) -> Unauthorised:
    return Unauthorised(f"the identity provider's token is not accepted: {why[:200]}", "Log in again for a new token.")
