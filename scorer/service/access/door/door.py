"""The door: finds the caller behind what a request presents, and exchanges that for short-lived tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass

from scorer.service.access.api_keys import ApiKey, KeyFile, bearer
from scorer.service.access.door.callers import Caller
from scorer.service.access.door.certificates import read_certificate
from scorer.service.access.door.tokens import PREFIX, Token, TokenRequest, Tokens
from scorer.service.access.oidc.people import People, Person, looks_like_one
from scorer.wire.errors import Forbidden, QScoreError, Unauthorised


@dataclass(frozen=True)
class Presented:
    """What a request presents: its Authorization header, and its connection's certificate (DER)."""

    authorization: str | None
    certificate: bytes | None = None


@dataclass(frozen=True)
class Door:
    """Knows keys, tokens, certificates and, where an identity provider is set, people."""

    keys: KeyFile
    tokens: Tokens
    people: People | None = None

    def caller(self, presented: Presented) -> Caller:
        """Find the caller, whose key may have ended: ``check_alive`` says so. Raises Unauthorised, Unavailable.

        A header counts before a certificate: a caller with both says by the header who it is now.
        """
        if presented.authorization is None and presented.certificate is not None:
            return self._by_certificate(presented.certificate)
        secret = bearer(presented.authorization)
        if secret.startswith(PREFIX):
            return self._by_token(secret)
        if looks_like_one(secret):
            raise Unauthorised(
                "an identity provider's token opens nothing by itself",
                "Exchange it at POST /v1/token for one that does.",
            )
        found = self.keys.find(secret)
        if found is None:
            raise Unauthorised("nobody knows this key", "Make one with `qscore key new` on the gateway's host.")
        return Caller(found, found.rights, "key")

    def check_still(self, key: ApiKey) -> None:
        """Raise Unauthorised where a key that was let in has ended or was revoked meanwhile."""
        if self.keys.get(key.id) is None:
            raise Unauthorised(f"key {key.id} was revoked", "Send the request with another key.")
        key.check_alive(time.time())

    def exchangers(self, presented: Presented) -> list[Caller]:
        """Find on whose behalf a token may be made: a key, a certificate, or every line that stands for a person.

        At least one; of a person's lines only those that live. Raises Unauthorised, Forbidden, Unavailable.
        """
        if presented.authorization is not None and looks_like_one(secret := bearer(presented.authorization)):
            return self._by_person(secret)
        return [self.caller(presented)]

    def exchange(self, callers: list[Caller], asked: TokenRequest) -> tuple[Caller, Token, str]:
        """Make a token for the first of ``callers`` that may have what is asked for; with its secret.

        Raises Forbidden, TooManyTokens, Unavailable.
        """
        refusals: list[QScoreError] = []
        for caller in callers:
            if caller.how == "token":
                raise Forbidden("a token makes no other token", "Present the key, or what the first was made with.")
            try:
                rights = asked.granted(caller.name, caller.rights)
            except Forbidden as error:
                refusals.append(error)
                continue
            return caller, *self.tokens.issue(caller.key, rights, asked.ttl, caller.subject)
        raise refusals[0]

    def _by_token(self, secret: str) -> Caller:
        token = self.tokens.find(secret)
        if token is None:
            raise Unauthorised("nobody knows this token, or it has ended", "Ask for another at POST /v1/token.")
        key = self.keys.get(token.key_id)
        if key is None:
            raise Unauthorised(
                f"key {token.key_id[:40]} of this token was revoked", "Ask for a token with another key."
            )
        return Caller(key, token.rights.within(key.rights), "token", token.subject)

    def _by_certificate(self, der: bytes) -> Caller:
        certificate = read_certificate(der)
        certificate.check_alive()
        for key in self.keys.keys():  # noqa: SIM118  # a method, not a mapping
            if key.certificate and key.certificate in certificate.names:
                return Caller(key, key.rights, "certificate")
        raise Unauthorised(
            "no key stands for this client certificate",
            "Run `qscore key new --certificate NAME` on the gateway's host, or send a key.",
        )

    def _by_person(self, secret: str) -> list[Caller]:
        if self.people is None:
            raise Unauthorised("this gateway knows no identity provider", "Set gateway.oidc.issuer, or send a key.")
        person = self.people.person(secret)
        found = [Caller(key, key.rights, "person", person.subject) for key in self._lines_of(person)]
        if not found:
            raise Forbidden(
                f"no key stands for {person.subject!r}",
                "Run `qscore key new --claim NAME=VALUE` on the gateway's host for a group of theirs.",
            )
        return [caller for caller in found if _lives(caller)] or found[:1]

    def _lines_of(self, person: Person) -> list[ApiKey]:
        return [key for key in self.keys.keys() if key.claim and person.has(key.claim)]  # noqa: SIM118


def _lives(caller: Caller) -> bool:
    try:
        caller.check_alive()
    except Unauthorised:
        return False
    return True
