"""`qscore splunk`: what the shipped correlation search would raise in Splunk, and the macros that build rows there."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.service.settings import load_settings
from scorer.splunk_preview.conf import stale_macros
from scorer.splunk_preview.notable import NOTICE, Notable, SplunkApp, preview, read_events, shipped_app
from scorer.wire.errors import BadOption, ConfigurationError

_COLOURS = {"critical": "red", "high": "dark_orange", "medium": "yellow", "low": "green"}


def register(app: typer.Typer) -> None:
    """Add `qscore splunk` to the command line."""
    group = typer.Typer(help="What the Splunk app does, seen without Splunk.", no_args_is_help=True)
    group.callback()(_group)
    group.command("preview")(_preview)
    group.command("macros")(_macros)
    app.add_typer(group, name="splunk")


def _group() -> None:
    """See what the Splunk app does, without Splunk."""


def _preview(
    events: Annotated[Path | None, typer.Option(help="NDJSON of HEC events; default: the setting sink_file.")] = None,
    search: Annotated[str | None, typer.Option(help="Stanza of savedsearches.conf; default: the rule.")] = None,
    app: Annotated[Path | None, typer.Option(help="Folder of the app; default: the one that is shipped.")] = None,
    limit: Annotated[int, typer.Option(help="Notables to show at most.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of panels.")] = False,
) -> None:
    """Run the correlation search over written scores and show each notable event with its tokens filled in.

    \b
    Example:
      qscore splunk preview --events hec_events.ndjson --limit 3
    """
    path = events or load_settings().sink_file
    if path is None:
        raise BadOption("there are no events to look at", "Give --events FILE, or set sink = 'file' and sink_file.")
    given = read_events(path)
    notables = preview(SplunkApp.read(app), given, time.time(), search)
    if as_json:
        for notable in notables[:limit]:
            terminal.say(json.dumps(asdict(notable)))
        return
    show(terminal.console(), notables, len(given), limit)


def _macros(
    recipe: Annotated[Path | None, typer.Option(help="A recipe of your own; default: those that are shipped.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Print nothing; fail where the app has other macros.")] = False,
    app: Annotated[Path | None, typer.Option(help="With --check: folder of the app; default: the shipped one.")] = None,
) -> None:
    """Print the macros that build a recipe's rows in Splunk, for local/macros.conf of the app.

    \b
    Example:
      qscore splunk macros --recipe iot_flow.toml
    """
    from scorer.rows.recipe.macros import recipe_macros, shipped_macros
    from scorer.rows.recipe_files import recipe_for

    text = shipped_macros() if recipe is None else recipe_macros(recipe_for(None, recipe))
    if not check:
        terminal.say(text, nl=False)
        return
    folder = app or shipped_app()
    wrong = stale_macros(text, folder)
    if wrong:
        remedy = "Put what `qscore splunk macros` prints (without --check) into local/macros.conf there."
        raise ConfigurationError(f"{folder} has no or other macros {', '.join(wrong)}", remedy)


def show(console: Console, notables: list[Notable], events: int, limit: int = 20) -> None:
    """Print panels, the notice that this is a preview, and how many there are in all."""
    console.print(Text(NOTICE, style="italic"))
    for notable in notables[:limit]:
        console.print(_panel(notable))
    shown = "" if len(notables) <= limit else f" (the first {limit} are shown)"
    console.print(Text(f"{len(notables)} notable events from {events} score events{shown}"))


def _panel(notable: Notable) -> Panel:
    colour = _COLOURS.get(notable.severity, "white")
    body = Group(Text(notable.description), Text(), _facts(notable))
    return Panel(body, title=Text(notable.title, style="bold"), title_align="left", border_style=colour)


def _facts(notable: Notable) -> Table:
    table = Table.grid(padding=(0, 2))
    rows = {
        "Rule": notable.rule,
        "Severity": f"{notable.severity}, domain {notable.security_domain}",
        "MITRE ATT&CK": ", ".join(notable.mitre),
        "Time": datetime.fromtimestamp(notable.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "Entities": ", ".join(f"{name}={value}" for name, value in notable.entities.items()),
        "Risk": ", ".join(f"{risk.kind} {risk.name} +{risk.score}" for risk in notable.risk),
        "Risk message": notable.risk_message,
        "Drilldown": f"{notable.drilldown_name}: {notable.drilldown_search}",
        "Next steps": notable.next_steps,
    }
    for name, value in rows.items():
        if value:
            table.add_row(Text(name, style="bold"), Text(value))
    return table
