"""Callers known by a client certificate: which line of ``api_keys.json`` stands for the certificate that TLS verified.

A line names a certificate in one of these forms, and nothing is matched by halves:

    sha256:<64 hexadecimal digits>    this very certificate
    dns:, uri:, email:<name>          one of its alternative names
    CN=search-1,O=Example             its whole subject (RFC 4514)
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from scorer.wire.errors import BadOption, Unauthorised

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}\Z")
_ALTERNATIVE = re.compile(r"(dns|uri|email):[\x21-\x7e]{1,253}\Z")
_LONGEST = 1024


@dataclass(frozen=True)
class Certificate:
    """What counts of a client certificate. ``names``: in the forms above. ``starts``, ``ends``: epoch seconds."""

    names: frozenset[str]
    starts: float
    ends: float

    def check_alive(self) -> None:
        """Raise Unauthorised outside its time: a connection may last longer than the certificate that opened it."""
        if not self.starts <= time.time() < self.ends:
            raise Unauthorised("the client certificate has ended", "Connect with its successor.")


def check_name(text: str) -> str:
    """Bring a certificate's name into the one form in which it is compared. Raises BadOption for what is none."""
    kind, colon, rest = text.strip().partition(":")
    kind = kind.lower()
    if colon and kind in ("dns", "uri", "email", "sha256"):
        name = f"{kind}:{rest}"
        if kind == "sha256":
            name = name.lower().replace(":", "").replace("sha256", "sha256:", 1)
        if kind == "dns":
            name = name.lower()
        if _FINGERPRINT.match(name) or (kind != "sha256" and _ALTERNATIVE.match(name)):
            return name
    elif subject := _subject(text):
        return subject
    raise BadOption(
        f"{text[:80]!r} names no certificate",
        "Write sha256:<fingerprint>, dns:<name>, uri:<name>, email:<name>, or its whole subject as CN=name,O=name.",
    )


@lru_cache(maxsize=256)
def read_certificate(der: bytes) -> Certificate:
    """Read what TLS verified. Raises Unauthorised where it cannot be read."""
    try:
        found = x509.load_der_x509_certificate(der)
        names = {f"sha256:{found.fingerprint(hashes.SHA256()).hex()}", found.subject.rfc4514_string()}
        starts, ends = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
        return Certificate(frozenset(names | _alternatives(found)) - {""}, starts, ends)
    except (ValueError, TypeError, OverflowError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Unauthorised("the client certificate cannot be read", "Have it issued anew.") from None


def _subject(text: str) -> str:
    if len(text) > _LONGEST or "=" not in text:
        return ""
    try:
        return x509.Name.from_rfc4514_string(text.strip()).rfc4514_string()
    except ValueError:
        return ""


def _alternatives(found: x509.Certificate) -> set[str]:
    try:
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return set()
    names = extension.value
    if not isinstance(names, x509.SubjectAlternativeName):
        return set()
    return (
        {f"dns:{name.lower()}" for name in names.get_values_for_type(x509.DNSName)}
        | {f"uri:{name}" for name in names.get_values_for_type(x509.UniformResourceIdentifier)}
        | {f"email:{name}" for name in names.get_values_for_type(x509.RFC822Name)}
    )
