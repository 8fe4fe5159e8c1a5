"""`qscore elastic doctor`: what is wrong with the Elastic side, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.cli.elastic.login import KeyFile, Login, PasswordFile, User, cluster_of
from scorer.elastic_client.extra import elastic_extra
from scorer.service.settings import load_settings

if TYPE_CHECKING:
    from elastic_connector.install.doctor.findings import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("doctor")(_doctor)


def _doctor(
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Check version, licence, clock, privileges, templates, streams, sources, leases, lag and the queue's seals.

    Exit code 1: something has to be mended.

    Without a login it checks the key that the connector runs with.

    \b
    Example:
      qscore elastic doctor
    """
    settings = load_settings()
    with elastic_extra():
        from elastic_connector.install.doctor.checks import Doctor
        from elastic_connector.install.doctor.findings import failed
        from elastic_connector.install.doctor.queue import check_queue
    with elastic_extra(), cluster_of(settings, Login.of(user, password_file, key_file)) as cluster:
        findings = [*Doctor(cluster.client, settings.elastic, cluster.names).examine(), *check_queue(settings)]
    if as_json:
        for finding in findings:
            terminal.say(json.dumps(finding.to_dict()))
    else:
        _show(findings)
    raise typer.Exit(1 if failed(findings) else 0)


def _show(findings: Sequence[Finding]) -> None:
    table = Table("", "check", "what is so", "what to do")
    for finding in findings:
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(state, Text(finding.check), Text(finding.detail), Text(finding.remedy))
    console = terminal.console()
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in _STYLES}
    console.print(Text(", ".join(f"{number} {state}" for state, number in counts.items() if number)))
