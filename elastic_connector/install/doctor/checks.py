"""`qscore elastic doctor`: everything that scoring through this cluster needs, looked at in turn."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.install.asset_files import Names
from elastic_connector.install.changes import plan
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.doctor.findings import Examination, Finding, ok
from elastic_connector.install.doctor.sources import check_source, check_streams
from elastic_connector.install.privileges import runtime_role
from scorer.elastic_client.client import ServerInfo, server_info
from scorer.elastic_client.moments import Millis, seconds
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.errors import NonsenseReply

#: The oldest server with everything that the assets use: a KQL query (8.16), lifecycle in a template, copy_from in set.
OLDEST = (8, 16)
#: Seconds by which this machine's clock may differ before it is said, and before times in logs mislead.
_CLOCK_WARN = 2.0
_INSTALL = "Run `qscore elastic install`."


@dataclass(frozen=True)
class Doctor:
    """Looks at one cluster with one login. ``settings``: whose sources and names are looked for."""

    client: Elasticsearch
    settings: ElasticSettings
    names: Names

    def examine(self) -> list[Finding]:
        """Make every check, in the order in which a fault would have to be mended."""
        seen = Examination()
        if not seen.look("version", self._version):
            return seen.findings  # nobody is there to be asked
        seen.look("licence", self._licence)
        seen.look("clock", self._clock)
        seen.look("privileges", self._privileges)
        seen.look("assets", self._assets)
        seen.look("scores", lambda: check_streams(self._cluster, self.settings))
        seen.look("sources", self._any_source)
        for source in self.settings.sources:
            find = functools.partial(check_source, self._cluster, self.settings, source)
            seen.look(f"source {source.name}", find)
        return seen.findings

    def _version(self) -> Iterator[Finding]:
        yield check_version(server_info(self.client))

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.client, self.names)

    def _licence(self) -> Iterator[Finding]:
        raw = self._cluster.ask("GET", "/_license")
        licence = raw.get("license") if isinstance(raw, Mapping) else None
        if not isinstance(licence, Mapping):
            raise NonsenseReply("Elasticsearch's answer about its licence has not its form")
        kind, status = str(licence.get("type"))[:40], str(licence.get("status"))[:40]
        if status != "active":
            yield Finding("licence", "fail", f"the {kind} licence is {status}", "Renew it: writes may be refused.")
            return
        paid = kind in ("platinum", "enterprise", "trial")
        yield ok(
            "licence", f"{kind}; rules with alert suppression {'work' if paid else 'need Platinum, all else works'}"
        )

    def _clock(self) -> Iterator[Finding]:
        before = time.time()
        raw = self._cluster.ask("GET", "/_nodes/stats/os?filter_path=nodes.*.timestamp")
        here = (before + time.time()) / 2
        nodes = raw.get("nodes") if isinstance(raw, Mapping) else None
        if not isinstance(nodes, Mapping) or not nodes:
            raise NonsenseReply("Elasticsearch does not say what time its nodes have")
        for node, body in sorted(nodes.items()):
            yield _clock_of(str(node)[:40], body, here)

    def _privileges(self) -> Iterator[Finding]:
        sources = [source.index for source in self.settings.sources] or ["logs-*"]
        role = runtime_role(sources, self.names.state_index, f"{self.names.scores}-*")
        body = {"cluster": [*role["cluster"], "manage_security", "all"], "index": role["indices"]}
        raw = self._cluster.ask("POST", "/_security/user/_has_privileges", body)
        lacking = sorted(_lacking(raw, role["cluster"]))
        if lacking and _is_installer(self._cluster):
            yield Finding("privileges", "skip", "this is the installer key, which is not for running")
        elif lacking:
            yield Finding(
                "privileges", "fail", f"the login lacks {'; '.join(lacking)}", "Give the key what it lacks. " + _INSTALL
            )
        elif any(raw["cluster"].get(name) for name in ("manage_security", "all")):
            remedy = "Run the connector and the worker with the runtime key that `qscore elastic install` makes."
            yield Finding("privileges", "warn", "this login may do far more than running needs", remedy)
        else:
            yield ok("privileges", "all that running needs")

    def _assets(self) -> Iterator[Finding]:
        for change in plan(self._cluster):
            name = f"{change.kind} {change.name}"
            if change.action == "keep":
                yield ok("assets", f"{name} is as this version has it")
            elif change.action == "create":
                yield Finding("assets", "fail", f"{name} is missing", _INSTALL)
            elif change.action == "foreign":
                yield Finding("assets", "fail", f"{name}: {change.why}", "Remove one of the two.")
            else:
                remedy = "`qscore elastic diff` shows the difference, `qscore elastic install` mends it."
                yield Finding("assets", "warn", f"{name} differs: {change.why}", remedy)

    def _any_source(self) -> Iterator[Finding]:
        if not self.settings.sources:
            remedy = "Add [[elastic.sources]] to qscore.toml; docs/elastic.md shows one."
            yield Finding("sources", "fail", "no source is configured", remedy)


def check_version(info: ServerInfo) -> Finding:
    """Check whether client and server fit, and whether the server is young enough."""
    client = version("elasticsearch")
    if info.serverless:
        return ok("version", f"Elasticsearch serverless, client {client}")
    numbers = re.match(r"(\d+)\.(\d+)", info.number)
    if numbers is None:
        return Finding("version", "fail", f"the server says it is version {info.number[:40]!r}", "Check elastic.url.")
    said = f"Elasticsearch {info.number}, client {client}"
    server, ours = (int(numbers[1]), int(numbers[2])), int(client.split(".")[0])
    if server < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding("version", "fail", f"{said}: older than {oldest}", f"Upgrade the cluster to {oldest} or later.")
    if ours > server[0]:
        remedy = f"pip install 'elasticsearch>=8.19,<{server[0] + 1}'"
        return Finding("version", "fail", f"{said}: the client is newer than the server", remedy)
    return ok("version", said)


def _is_installer(cluster: Cluster) -> bool:
    raw = cluster.ask("GET", "/_security/_authenticate")
    key = raw.get("api_key") if isinstance(raw, Mapping) else None
    return isinstance(key, Mapping) and key.get("name") == f"{cluster.names.prefix}-installer"


def _clock_of(node: str, body: Any, here: float) -> Finding:
    stamp = body.get("timestamp") if isinstance(body, Mapping) else None
    if not isinstance(stamp, int):
        raise NonsenseReply("Elasticsearch does not say what time its nodes have")
    off = seconds(Millis(stamp)) - here
    if abs(off) > _CLOCK_WARN:
        said = f"node {node} is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine"
        remedy = "Set both by NTP. Nothing is lost meanwhile: what is read goes by Elasticsearch's clock alone."
        return Finding("clock", "warn", said, remedy)
    return ok("clock", f"node {node} and this machine agree within {max(abs(off), 0.1):.1f} s")


def _lacking(raw: Any, cluster: list[str]) -> Iterator[str]:
    try:
        for name in cluster:
            if raw["cluster"][name] is not True:
                yield f"cluster privilege {name}"
        for index, privileges in raw["index"].items():
            for name, has in privileges.items():
                if has is not True:
                    yield f"{name} on {index}"
    except (AttributeError, KeyError, TypeError):
        raise NonsenseReply("Elasticsearch's answer about privileges has not its form") from None
