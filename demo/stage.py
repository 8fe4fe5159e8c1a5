"""qscore as it runs beside Splunk, on one machine: the real app, gateway, queue and workers, and stand-ins for the two
things that only Splunk has, splunkd's key store and an HTTP Event Collector."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.running_stack import running_stack
from demo.standins.hec_endpoint import HecEndpoint
from demo.standins.hec_rules import HecRules
from demo.standins.search_pipeline import run_command
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.authority import Authority, load_or_create_authority
from scorer.service.queue.broker import private_dir
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState
from scorer.splunk_preview.conf import Conf, read_conf
from scorer.splunk_preview.environment import Environment, Rows, hec_rows
from scorer.splunk_preview.pipeline import run

_SESSION_KEY = "stand-in session key"
APP = "qscore"

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Stage:
    """Everything that runs, for as long as ``open_stage`` keeps it."""

    home: Path
    app: Path  # the app as installed: etc/apps/qscore
    state: StackState
    hec: HecEndpoint
    splunkd: SplunkdEndpoint
    events_file: Path  # what the event collector took, one event a line
    python: tuple[str, ...] = (sys.executable, "-I")

    @property
    def command(self) -> tuple[str, ...]:
        """The search command as splunkd starts it."""
        return (*self.python, str(self.app / "bin" / "qscore.py"))

    @property
    def searchinfo(self) -> Mapping[str, Any]:
        """The facts that splunkd tells the command about the search."""
        return {"splunkd_uri": self.splunkd.url, "session_key": _SESSION_KEY}

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that splunkd starts commands with, as far as the command uses them."""
        return {"SPLUNK_HOME": str(self.app.parents[2]), "PATH": "/usr/bin:/bin"}

    def search(self, source: str, events: Rows, tell: Tell = lambda _level, _text: None) -> list[dict[str, Any]]:
        """A search over ``events`` whose ``| qscore`` is the real command. Macros are the app's own."""

        def qscore(arguments: str, rows: Rows) -> Rows:
            return run_command(self.command, arguments, rows, tell, self.environment, **self.searchinfo)

        environment = Environment(events=events, macros=self.macros, hooks={"qscore": qscore}, now=time.time())
        return [dict(row) for row in run(source, environment)]

    def tstats(self, source: str) -> list[dict[str, Any]]:
        """A tstats search over what the collector took: it sees indexed fields alone."""
        full, indexed = hec_rows(read_events(self.events_file), index_time=time.time())
        environment = Environment(events=full, indexed=indexed, macros=self.macros, now=time.time())
        return [dict(row) for row in run(source, environment)]

    @property
    def macros(self) -> Conf:
        return read_conf(self.app / "default" / "macros.conf")

    def written_events(self, expected: int, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Events that the collector took, once ``expected`` are there or the time is over."""
        deadline = time.monotonic() + seconds
        while len(self.hec.events) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return list(self.hec.events)


@contextlib.contextmanager
def open_stage(
    folder: Path, app_archive: Path, *up: str, python: Sequence[str] = (sys.executable, "-I")
) -> Iterator[Stage]:
    """Start everything in ``folder`` and stop it at the end.

    ``folder``/home is the qscore home (models may be there already); ``up``: further arguments of `qscore up`;
    ``python``: the interpreter that runs the app's command.
    """
    home = folder / "home"
    private_dir(home)
    authority = load_or_create_authority(private_dir(home / "tls"))
    certificate, key = _server_certificate(folder, authority)
    token = secrets.token_urlsafe(24)
    record = folder / "hec_events.ndjson"
    app = install(app_archive, folder / "splunk" / "etc" / "apps")
    _give_splunk_its_authority(folder, home)
    api_key = KeyFile(home / "api_keys.json").add(["read", "score", "write"], "the search command of the stand-in")[1]
    passwords = {"qscore:gateway:": api_key}
    with (
        HecEndpoint(HecRules(token), certificate, key, record=record) as hec,
        SplunkdEndpoint(_SESSION_KEY, passwords, certificate, key) as splunkd,
        running_stack(home, *up, environment=_sink_variables(folder, home, hec, token)) as state,
    ):
        _configure(app, state.url, home)
        yield Stage(home, app, state, hec, splunkd, record, tuple(python))


def install(archive: Path, apps: Path) -> Path:
    """Unpack the built app as Splunk does; returns its folder."""
    apps.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as bundle:
        bundle.extractall(apps, filter="data")
    return apps / APP


def demo_settings(folder: Path) -> Settings:
    """Settings of the home that ``open_stage`` will use."""
    return load_settings(home=folder / "home")


def _server_certificate(folder: Path, authority: Authority) -> tuple[Path, Path]:
    pem, key = authority.issue(["localhost", "127.0.0.1"])
    paths = folder / "stand_in.pem", folder / "stand_in.key"
    for path, content in zip(paths, (pem, key), strict=True):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return paths


def _sink_variables(folder: Path, home: Path, hec: HecEndpoint, token: str) -> dict[str, str]:
    token_file = folder / "hec_token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    return {
        "QSCORE_SINK": "hec",
        "QSCORE_HEC__URL": hec.url,
        "QSCORE_HEC__TOKEN_FILE": str(token_file),
        "QSCORE_HEC__CA_FILE": str(home / "tls" / "ca.pem"),
        "QSCORE_GATEWAY__PORT": "0",
    }


def _give_splunk_its_authority(folder: Path, home: Path) -> None:
    """Put the authority of splunkd's own certificate at the place where the command looks for it."""
    auth = folder / "splunk" / "etc" / "auth"
    auth.mkdir(parents=True, exist_ok=True)
    (auth / "cacert.pem").write_bytes((home / "tls" / "ca.pem").read_bytes())


def _configure(app: Path, url: str, home: Path) -> None:
    """Write what an administrator writes once: the gateway's address and authority."""
    local = app / "local"
    local.mkdir(exist_ok=True)
    (local / "qscore.conf").write_text(f"[gateway]\nurl = {url}\nca_file = {home / 'tls' / 'ca.pem'}\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """Recorded HEC events."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
