"""The gateway key, read from splunkd's storage/passwords with the search's own session key.

The searcher's role needs list_storage_passwords; where it lacks it, the search goes on without scores and says so.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any
from urllib.parse import quote, urlsplit

from scorer.wire.errors import (
    ConfigurationError,
    Forbidden,
    NonsenseReply,
    QScoreError,
    Unauthorised,
    Unreachable,
)
from scorer.wire.transport import HttpAnswer, Peer, TlsConnection, Trust

APP = "qscore"
TIMEOUT = 5.0  # seconds; splunkd runs on the same host
_CAP = 1024 * 1024
SPLUNKD = Peer(
    name="splunkd",
    form="https://host:8089",
    port=8089,
    address="Keep enableSplunkdSSL = true: the session key and the gateway key do not travel in clear.",
    trust="Set ca_file under [splunkd] in local/qscore.conf of the app.",
    silent="See splunkd.log.",
    slow="See splunkd.log.",
)
_STORE = "Store the gateway key as an administrator: see docs/splunk.md of the product, 'The gateway key'."


def read_key(
    splunkd_uri: str, session_key: str, ca_file: str, realm: str, username: str, timeout: float = TIMEOUT
) -> str:
    """Read the clear password of ``realm``:``username`` in ``timeout`` seconds. Raises a QScoreError with a remedy."""
    path = "/servicesNS/nobody/%s/storage/passwords/%s?output_mode=json" % (
        APP,
        quote("%s:%s:" % (realm, username), ""),
    )
    answer = _get(splunkd_uri, session_key, ca_file, path, timeout)
    if answer.status != 200:
        raise _refusal(answer.status, realm, username)
    return _clear_password(answer.body, realm, username)


def on_loopback(url: str) -> bool:
    """Tell whether the host of ``url`` is this machine's loopback interface."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _get(splunkd_uri: str, session_key: str, ca_file: str, path: str, timeout: float) -> HttpAnswer:
    # Splunk issues its default certificate to SplunkServerDefaultCert, never to an address. On the loopback
    # interface nobody else can answer in its place, and the chain is verified all the same: against the authority
    # that Splunk installs, which lacks extensions that Python 3.13 asks for by default, and no other.
    trust = Trust(ca_file, any_name=on_loopback(splunkd_uri), old_authority=True)
    connection = TlsConnection(splunkd_uri, SPLUNKD, trust)
    if not (session_key.isascii() and session_key.isprintable() and session_key):
        raise Unauthorised("the search passed no session key", "Run it as a user of Splunk.")
    try:
        return connection.exchange("GET", path, None, {"Authorization": "Splunk " + session_key}, timeout, _CAP)
    finally:
        connection.close()


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
