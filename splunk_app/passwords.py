"""The gateway key, read from splunkd's storage/passwords with the search's own session key.

The searcher's role needs list_storage_passwords; where it lacks it, the search goes on without scores and says so.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from typing import Any, Tuple
from urllib.parse import quote, urlsplit

from scorer.wire.errors import (
    ConfigurationError,
    Forbidden,
    NonsenseReply,
    QScoreError,
    ScoringTimeout,
    Unauthorised,
    Unreachable,
)

APP = "qscore"
TIMEOUT = 5.0  # seconds; splunkd runs on the same host
_CAP = 1024 * 1024
_STORE = "Store the gateway key as an administrator: see docs/splunk.md of the product, 'The gateway key'."


def read_key(
    splunkd_uri: str, session_key: str, ca_file: str, realm: str, username: str, timeout: float = TIMEOUT
) -> str:
    """The clear password of ``realm``:``username``; at most ``timeout`` seconds. Raises a QScoreError with a remedy."""
    path = "/servicesNS/nobody/%s/storage/passwords/%s?output_mode=json" % (
        APP,
        quote("%s:%s:" % (realm, username), ""),
    )
    status, body = _get(splunkd_uri, session_key, ca_file, path, timeout)
    if status != 200:
        raise _refusal(status, realm, username)
    return _clear_password(body, realm, username)


def _get(splunkd_uri: str, session_key: str, ca_file: str, path: str, timeout: float) -> Tuple[int, bytes]:
    host, port = _address(splunkd_uri)
    if not (session_key.isascii() and session_key.isprintable() and session_key):
        raise Unauthorised("the search passed no session key", "Run it as a user of Splunk.")
    connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=_context(ca_file, host))
    deadline = time.monotonic() + timeout
    try:
        connection.request("GET", path, headers={"Authorization": "Splunk " + session_key})
        response = connection.getresponse()
        return response.status, _read(response, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise _named(error, "%s:%d" % (host, port), ca_file, timeout) from error
    finally:
        connection.close()


def _address(splunkd_uri: str) -> Tuple[str, int]:
    try:
        parts = urlsplit(splunkd_uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != "https" or not host:
        raise ConfigurationError(
            "splunkd's address %r is not https" % splunkd_uri[:80],
            "Keep enableSplunkdSSL = true: the session key and the gateway key do not travel in clear.",
        )
    return host, port or 8089


def _context(ca_file: str, host: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "splunkd's authority %s cannot be used: %s" % (ca_file, error),
            "Set ca_file under [splunkd] in local/qscore.conf of the app.",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The authority that Splunk installs lacks extensions that Python 3.13 asks for by default; the chain is still
    # verified against that authority and no other.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # Splunk issues its default certificate to SplunkServerDefaultCert, never to an address. On the loopback
    # interface nobody else can answer in its place, and the chain is verified all the same.
    context.check_hostname = not _is_loopback(host)
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    body = b""
    while len(body) <= _CAP and time.monotonic() < deadline:
        piece = response.read1(65536)
        if not piece:
            return body
        body += piece
    if len(body) > _CAP:
        raise NonsenseReply("splunkd sent more than %d bytes for one password" % _CAP, "See splunkd.log.")
    raise socket.timeout("deadline passed")


def _named(error: Exception, where: str, ca_file: str, timeout: float) -> QScoreError:
    if isinstance(error, socket.timeout):
        return ScoringTimeout("splunkd at %s did not answer within %g s" % (where, timeout), "See splunkd.log.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            "splunkd's certificate was not accepted against %s: %s" % (ca_file, error.verify_message),
            "Set ca_file under [splunkd] in local/qscore.conf of the app.",
        )
    if isinstance(error, OSError):
        return Unreachable("no connection to splunkd at %s: %s" % (where, error.strerror or error), "See splunkd.log.")
    return NonsenseReply("splunkd at %s did not answer in HTTP" % where, "See splunkd.log.")


def _refusal(status: int, realm: str, username: str) -> QScoreError:
    if status == 401:
        return Unauthorised("splunkd did not accept the search's session key", "Run the search again.")
    if status == 403:
        return Forbidden(
            "this user may not read the gateway key from storage/passwords",
            "Give a role of the user the capability list_storage_passwords, as qscore_user has.",
        )
    if status == 404:
        return ConfigurationError("storage/passwords has no entry %s:%s" % (realm, username), _STORE)
    return Unreachable("splunkd answered %d when asked for the gateway key" % status, "See splunkd.log.")


def _clear_password(body: bytes, realm: str, username: str) -> str:
    try:
        answer: Any = json.loads(body.decode("utf-8"))
        password = answer["entry"][0]["content"]["clear_password"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        password = None
    if not isinstance(password, str) or not password.strip():
        raise NonsenseReply("splunkd's answer holds no password for %s:%s" % (realm, username), _STORE)
    return password.strip()
