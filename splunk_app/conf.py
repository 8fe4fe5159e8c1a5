"""The app's own settings: default/qscore.conf overlaid by local/qscore.conf."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Dict, Mapping, Optional

from scorer.wire.errors import ConfigurationError

CONF = "qscore.conf"
Stanzas = Dict[str, Dict[str, str]]

_PLACE = "Correct it in local/qscore.conf of the app."
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


@dataclass(frozen=True)
class AppSettings:
    """The settings of the app, from qscore.conf.

    ``ca_file``: PEM of the gateway's authority; None: the system's. ``parallel``: requests at once for one chunk.

    ``realm`` and ``username``: the entry of storage/passwords that holds the gateway key. ``splunkd_ca``: PEM of the
    authority that signed splunkd's own certificate.
    """

    url: str
    ca_file: Optional[str]
    server_name: Optional[str]
    parallel: int
    realm: str
    username: str
    splunkd_ca: str

    @classmethod
    def read(cls, app_dir: str, splunk_home: Optional[str]) -> AppSettings:
        """Read the settings. Raises ConfigurationError that names the setting and the file."""
        home = splunk_home or os.path.abspath(os.path.join(app_dir, "..", "..", ".."))
        stanzas = overlay(app_dir)
        gateway, splunkd = stanzas.get("gateway", {}), stanzas.get("splunkd", {})
        if not gateway.get("url"):
            raise ConfigurationError(
                "no gateway is set", "Set url = https://host:8417 under [gateway] in local/qscore.conf of the app."
            )
        return cls(
            url=gateway["url"],
            ca_file=_path(gateway.get("ca_file", ""), app_dir, home) or None,
            server_name=gateway.get("server_name") or None,
            parallel=_whole(gateway, "parallel", 3, 1, 8),
            realm=_word(gateway, "realm", "qscore"),
            username=_word(gateway, "username", "gateway"),
            splunkd_ca=_path(splunkd.get("ca_file") or "$SPLUNK_HOME/etc/auth/cacert.pem", app_dir, home),
        )


def overlay(app_dir: str) -> Stanzas:
    """Read the stanzas of default/qscore.conf, each setting replaced where local/qscore.conf has it."""
    merged: Stanzas = {}
    for folder in ("default", "local"):
        for name, settings in _load(os.path.join(app_dir, folder, CONF)).items():
            merged.setdefault(name, {}).update(settings)
    return merged


def _load(path: str) -> Stanzas:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return parse(file.read())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError("%s cannot be read: %s" % (path, error), "It must be UTF-8 text.") from None


def parse(text: str) -> Stanzas:
    """Parse Splunk's conf syntax: [stanza], key = value, # comments, and a backslash at a line's end continues it."""
    stanzas: Stanzas = {}
    current = stanzas.setdefault("default", {})
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("[") and line.endswith("]"):
            current = stanzas.setdefault(line[1:-1].strip(), {})
            continue
        key, equals, value = line.partition("=")
        if equals:
            current[key.strip()] = value.strip()
    return stanzas


def _path(value: str, app_dir: str, home: str) -> str:
    """A path of the settings: $SPLUNK_HOME is known, and a relative path starts at the app's folder."""
    if not value:
        return ""
    return os.path.join(app_dir, value.replace("$SPLUNK_HOME", home))


def _word(stanza: Mapping[str, str], key: str, default: str) -> str:
    value = stanza.get(key) or default
    if not _WORD.match(value):
        raise ConfigurationError("%s = %s is not possible" % (key, value[:40]), "Use letters, digits, _ . and - only.")
    return value


def _whole(stanza: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    text = stanza.get(key) or str(default)
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ConfigurationError("%s = %s is not a number from %d to %d" % (key, text[:40], low, high), _PLACE)
    return int(text)
