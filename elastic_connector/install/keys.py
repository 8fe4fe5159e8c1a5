"""The two API keys: one for installing, one for running; made for the user who installs, found again by their names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import quote

from elastic_connector.install.asset_files import MANAGED_BY, Names
from elastic_connector.install.changes import json_diff
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.privileges import Role, installer_role, runtime_role
from scorer.wire.errors import ConfigurationError, NonsenseReply

Purpose = Literal["installer", "runtime"]


@dataclass(frozen=True)
class KeyRequest:
    """One key as it should be: ``role`` is all that it may do."""

    purpose: Purpose
    name: str
    role: Role

    def body(self) -> dict[str, Any]:
        """Return the body of POST /_security/api_key."""
        return {
            "name": self.name,
            "role_descriptors": {self.name: self.role},
            "metadata": {"managed_by": MANAGED_BY, "purpose": self.purpose},
        }

    def console(self) -> str:
        """Return the request as Kibana's Dev Tools take it."""
        return f"POST /_security/api_key\n{json.dumps(self.body(), indent=2)}\n"


@dataclass(frozen=True)
class KeyChange:
    """What became, or would become, of one key. ``secret``: the encoded key, known only where it was just made.

    ``lost``: what to do where the key was there already and its secret is not where it should lie; else empty.
    """

    action: Literal["create", "update", "keep", "remove"]
    name: str
    lines: tuple[str, ...] = ()
    id: str = ""
    secret: str = field(default="", repr=False)
    lost: str = ""


def key_requests(names: Names, sources: Iterable[str]) -> tuple[KeyRequest, KeyRequest]:
    """Return both keys. ``sources``: the index patterns of the settings; with none, logs-* is assumed."""
    scores = f"{names.scores}-*"
    patterns = tuple(sources) or ("logs-*",)
    return (
        KeyRequest("installer", f"{names.prefix}-installer", installer_role(names.state_index, scores)),
        KeyRequest("runtime", f"{names.prefix}-runtime", runtime_role(patterns, names.state_index, scores)),
    )


def key_plan(cluster: Cluster, requests: Iterable[KeyRequest]) -> list[KeyChange]:
    """Compare the keys with those that are there; one whose privileges differ is updated, and its secret stays."""
    return [_planned(cluster, request) for request in requests]


def _planned(cluster: Cluster, request: KeyRequest) -> KeyChange:
    live = _find(cluster, request.name)
    if live is None:
        return KeyChange("create", request.name, json_diff({}, request.role))
    roles = live.get("role_descriptors") or {}
    lines = json_diff(_granted(roles.get(request.name)), _granted(request.role))
    return KeyChange("update" if lines else "keep", request.name, lines, str(live["id"]))


def _granted(role: Any) -> dict[str, Any]:
    """Return what a role grants, without the empty parts that a server adds."""
    if not isinstance(role, Mapping):
        return {}
    indices = [
        {"names": list(part.get("names", [])), "privileges": sorted(part.get("privileges", []))}
        for part in role.get("indices", [])
    ]
    return {"cluster": sorted(role.get("cluster", [])), "indices": indices}


def _find(cluster: Cluster, name: str) -> Mapping[str, Any] | None:
    """Find the newest key of that name that this user owns, that we made and that is not invalidated."""
    raw = cluster.ask("GET", f"/_security/api_key?name={quote(name)}&owner=true&active_only=true")
    keys = raw.get("api_keys") if isinstance(raw, Mapping) else None
    if not isinstance(keys, list):
        raise NonsenseReply("Elasticsearch's list of API keys has not its form")
    ours = [key for key in keys if (key.get("metadata") or {}).get("managed_by") == MANAGED_BY]
    return max(ours, key=lambda key: key.get("creation", 0), default=None)


def apply_keys(cluster: Cluster, requests: Iterable[KeyRequest], folder: Path) -> list[KeyChange]:
    """Make or update the keys. A new key's secret goes into ``folder``, mode 0600, and nowhere else.

    Raises ConfigurationError where a file is already there while its key is to be made: it may hold another cluster's.
    """
    changes = []
    for request in requests:
        planned = _planned(cluster, request)
        if planned.action == "create":
            changes.append(_create(cluster, request, key_file(folder, request)))
            continue
        if planned.action == "update":
            body = {"role_descriptors": request.body()["role_descriptors"]}
            cluster.ask("PUT", f"/_security/api_key/{quote(planned.id)}", body)
        changes.append(replace(planned, lost=_lost(key_file(folder, request))))
    return changes


def _lost(path: Path) -> str:
    if path.exists():
        return ""
    return (
        f"its secret is not in {path}: copy it there from where it was made, or invalidate the key in Kibana (Stack"
        " Management, API keys) and run install again"
    )


def key_file(folder: Path, request: KeyRequest) -> Path:
    """Return where the secret of a key goes."""
    return folder / f"elastic_{request.purpose}_key"


def _create(cluster: Cluster, request: KeyRequest, path: Path) -> KeyChange:
    if path.exists():
        raise ConfigurationError(
            f"the key {request.name} is to be made, but {path} is there already",
            "Move that file away, or give another --key-folder: it may hold the key of another cluster.",
        )
    with _new_file(path) as file:
        made = cluster.ask("POST", "/_security/api_key", request.body())
        secret, identity = made.get("encoded"), made.get("id")
        if not isinstance(secret, str) or not isinstance(identity, str):
            raise NonsenseReply("Elasticsearch made an API key but did not return it")
        file.write(secret)
    return KeyChange("create", request.name, (), identity, secret)


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Opened before the key is made: a key whose secret could not be kept would be found by its name for ever after."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", "Give another --key-folder. No key was made."
        ) from None
    with file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise


def remove_keys(cluster: Cluster, requests: Iterable[KeyRequest], dry_run: bool = False) -> list[KeyChange]:
    """Invalidate the keys that this user owns and that we made."""
    changes = []
    for request in requests:
        live = _find(cluster, request.name)
        if live is not None:
            changes.append(KeyChange("remove", request.name, id=str(live["id"])))
    if changes and not dry_run:
        cluster.ask("DELETE", "/_security/api_key", {"ids": [change.id for change in changes], "owner": True})
    return changes
