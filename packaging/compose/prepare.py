"""Makes what the queue's two servers and qscore's processes need to know each other: certificates, users, a key.

    python packaging/compose/prepare.py --out packaging/compose/secrets

writes, once, into a folder of mode 0700: an authority and a certificate for the servers, a random password for each
user (the servers' user files hold their SHA-256 alone), the key that seals what lies on them, and a qscore.toml for
each kind of process. Started as root it gives the files to the users of the containers.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from scorer.service.access.authority import new_authority
from scorer.service.queue.sealing.rotation import new_keys

VALKEY = Path(__file__).resolve().parents[1] / "valkey"
USERS = ("gateway", "worker", "deliver", "connector", "operator", "probe")
#: The key that seals messages, rows and answers; not to be taken for queue_key.pem, the servers' key of TLS.
SEAL = "queue_seal"
#: Users of the containers: of the Valkey image, and of qscore's own.
VALKEY_UID, QSCORE_UID = 999, 10001


@dataclass(frozen=True)
class Places:
    """Where the servers are reached, as host:port, and where containers find these files."""

    durable: str
    fast: str
    secrets: str
    gateway: Sequence[str]


@dataclass(frozen=True)
class Secret:
    """A file to write; ``uid``: who reads it."""

    name: str
    content: bytes
    uid: int


def made(places: Places) -> list[Secret]:
    """All files, with new keys and passwords."""
    passwords = {user: secrets.token_urlsafe(32) for user in USERS}
    hosts = [place.rpartition(":")[0] for place in (places.durable, places.fast)]
    authority = new_authority()
    certificate, key = authority.issue(list(dict.fromkeys([*hosts, "localhost"])))
    ca = authority.certificate.public_bytes(Encoding.PEM)
    hashes = {user: hashlib.sha256(password.encode()).hexdigest() for user, password in passwords.items()}
    return [
        Secret("queue_ca.pem", ca, QSCORE_UID),
        Secret("queue_ca_of_servers.pem", ca, VALKEY_UID),
        Secret("queue_certificate.pem", certificate, VALKEY_UID),
        Secret("queue_key.pem", key, VALKEY_UID),
        Secret(SEAL, new_keys().text().encode(), QSCORE_UID),
        Secret("queue_probe", passwords["probe"].encode(), VALKEY_UID),
        *(Secret(f"users-{name}.acl", _users(name, hashes), VALKEY_UID) for name in ("durable", "fast")),
        *(
            Secret(f"{user}.toml", _settings(user, password, places), QSCORE_UID)
            for user, password in passwords.items()
            if user != "probe"
        ),
    ]


def _users(name: str, hashes: dict[str, str]) -> bytes:
    text = (VALKEY / f"users-{name}.acl").read_text("utf-8")
    for user, digest in hashes.items():
        text = text.replace(f"{{{user}}}", digest)
    return text.encode()


def _settings(user: str, password: str, places: Places) -> bytes:
    lines = [
        "# Settings of qscore, and its password at the queue: keep this file to yourself.",
        f'broker_url = "rediss://{user}:{password}@{places.durable}/0"',
        f'interactive_broker_url = "rediss://{user}:{password}@{places.fast}/0"',
        f'broker_ca = "{places.secrets}/queue_ca"',
        f'queue_key_file = "{places.secrets}/{SEAL}"',
    ]
    if user == "connector":  # it has no business on the server of searches
        del lines[2]
    if user == "gateway":
        names = ", ".join(f'"{name}"' for name in places.gateway)
        lines += ["[gateway]", 'host = "0.0.0.0"', f"hostnames = [{names}]"]
    return "\n".join([*lines, ""]).encode()


def write(folder: Path, files: Sequence[Secret]) -> None:
    """Write into a folder that holds nothing. Raises SystemExit where it does."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} holds files already; passwords that are in use are not replaced")
    for file in files:
        handle = os.open(folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(file.content)
            if os.geteuid() == 0:
                os.fchown(handle, file.uid, file.uid)


def main() -> None:
    """Write the folder that the arguments name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--durable", default="valkey-durable:6379", help="host:port of the server that keeps")
    parser.add_argument("--fast", default="valkey-fast:6379", help="host:port of the server of searches")
    parser.add_argument("--secrets-at", default="/run/secrets", help="where the processes find these files")
    parser.add_argument("--gateway", nargs="+", default=["localhost", "gateway"], help="names of the gateway")
    given = parser.parse_args()
    write(given.out, made(Places(given.durable, given.fast, given.secrets_at, given.gateway)))
    print(f"wrote {given.out}" + ("" if os.geteuid() == 0 else "; run it as root to give the files to the containers"))


if __name__ == "__main__":
    main()
