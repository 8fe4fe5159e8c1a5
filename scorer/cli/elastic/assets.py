"""`qscore elastic install`, `diff` and `uninstall`: what qscore puts into Elasticsearch and Kibana."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.cli.elastic.login import (
    KeyFile,
    KibanaCa,
    KibanaUrl,
    Login,
    PasswordFile,
    User,
    cluster_of,
    installer_key,
)
from scorer.elastic_client.extra import elastic_extra
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption

if TYPE_CHECKING:
    from elastic_connector.install.changes import Change
    from elastic_connector.install.cluster import Cluster
    from elastic_connector.install.keys import KeyChange, KeyRequest
    from elastic_connector.install.kibana import Kibana

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, change nothing.")]
_STYLES = {"create": "green", "update": "yellow", "roll over": "yellow", "remove": "red", "foreign": "bold red"}
_LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def register(group: typer.Typer) -> None:
    """Add the three commands."""
    group.command("install")(_install)
    group.command("diff")(_diff)
    group.command("uninstall")(_uninstall)


def _install(
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    dry_run: DryRun = False,
    keys: Annotated[bool, typer.Option(help="Make the installer and the runtime key (needs --user).")] = True,
    print_keys: Annotated[bool, typer.Option("--print-keys", help="Print the requests for the keys, and end.")] = False,
    key_folder: Annotated[Path | None, typer.Option(help="Where new keys go; default: private/ in the home.")] = None,
    kibana_url: KibanaUrl = None,
    kibana_ca: KibanaCa = None,
    kibana_folder: Annotated[
        Path | None, typer.Option(help="Without --kibana-url: where Kibana's files are written; default: kibana/.")
    ] = None,
) -> None:
    """Put templates, pipelines, state index, keys, and Kibana's rules and dashboard in place; a second run changes
    nothing.

    The first time: --user elastic, or another administrator. Later the installer key does, which the first run makes.

    \b
    Examples:
      qscore elastic install --user elastic --dry-run
      qscore elastic install --user elastic --kibana-url https://kibana.example:5601
    """
    settings, console = load_settings(), terminal.console()
    with elastic_extra():
        from elastic_connector.install.asset_files import Names
        from elastic_connector.install.keys import key_requests
    requests = key_requests(Names(state_index=settings.elastic.state_index), _patterns(settings))
    if print_keys:
        for request in requests:
            terminal.say(request.console())
        return
    login = _login(settings, user, password_file, key_file)
    folder = key_folder or settings.home / "private"
    with cluster_of(settings, login) as cluster:
        _install_cluster(console, cluster, dry_run)
        if keys and login.user:
            _install_keys(console, cluster, requests, folder, dry_run)
    if kibana_url:
        with _kibana(kibana_url, kibana_ca, login) as kibana:
            _install_kibana(console, kibana, dry_run)
    elif not dry_run:
        _write_files(console, kibana_folder or settings.home / "kibana")


def _login(settings: Settings, user: str | None, password_file: Path | None, key_file: Path | None) -> Login:
    """Find the login as the options say; without any, the installer key that an earlier installation left."""
    usual = installer_key(settings)
    if not user and not key_file and usual.is_file():
        key_file = usual
    with elastic_extra():
        return Login.of(user, password_file, key_file)


def _patterns(settings: Settings) -> list[str]:
    return [source.index for source in settings.elastic.sources]


def _install_cluster(console: Console, cluster: Cluster, dry_run: bool) -> None:
    from elastic_connector.install.changes import plan
    from elastic_connector.install.installer import install, refuse_foreign

    if dry_run:
        changes = plan(cluster)
        _show(console, "Elasticsearch", changes, lines=True)
        refuse_foreign(changes)
        return
    _show(console, "Elasticsearch", install(cluster))


def _install_keys(
    console: Console, cluster: Cluster, requests: Sequence[KeyRequest], folder: Path, dry_run: bool
) -> None:
    from elastic_connector.install.keys import apply_keys, key_plan

    changes = key_plan(cluster, requests) if dry_run else apply_keys(cluster, requests, folder)
    _show_keys(console, changes, dry_run)
    if any(change.secret for change in changes):
        runtime = folder / "elastic_runtime_key"
        console.print(Text(f"The keys' secrets are in {folder} (mode 0600) and nowhere else. In qscore.toml:"))
        console.print(Text(f'  [elastic]\n  api_key_file = "{runtime}"'))


def _install_kibana(console: Console, kibana: Kibana, dry_run: bool) -> None:
    from elastic_connector.install.kibana_assets import install_kibana, kibana_plan

    console.print(Text(f"Kibana {kibana.version()}"))
    _show(console, "Kibana", kibana_plan(kibana) if dry_run else install_kibana(kibana), lines=dry_run)


def _write_files(console: Console, folder: Path) -> None:
    from elastic_connector.install.kibana_assets import write_kibana_files

    paths = write_kibana_files(folder)
    console.print(Text(f"Kibana's rules and dashboard are files in {folder}:"))
    for path in paths:
        console.print(Text(f"  {path.name}"))
    console.print(
        Text(
            "Import qscore_saved_objects.ndjson under Stack Management, Saved Objects; qscore_rules.ndjson under"
            " Security, Rules, Detection rules; or run install again with --user and --kibana-url."
        )
    )


def _kibana(url: str, ca_file: Path | None, login: Login) -> AbstractContextManager[Kibana]:
    from elastic_connector.install.kibana import Kibana, KibanaLogin

    if not login.user:
        raise BadOption("--kibana-url is given without --user", "Kibana needs a user; the keys are for Elasticsearch.")
    return closing(Kibana(url, KibanaLogin(login.user, login.password), ca_file))


def _diff(
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    kibana_url: KibanaUrl = None,
    kibana_ca: KibanaCa = None,
) -> None:
    """Show how the cluster differs from this version. Exit code 0: not at all, 1: it does.

    \b
    Example:
      qscore elastic diff && echo 'as this version has it'
    """
    settings, console = load_settings(), terminal.console()
    login = _login(settings, user, password_file, key_file)
    with elastic_extra():
        from elastic_connector.install.changes import differences, plan
        from elastic_connector.install.kibana_assets import kibana_plan
    with cluster_of(settings, login) as cluster:
        changes = plan(cluster)
    if kibana_url:
        with _kibana(kibana_url, kibana_ca, login) as kibana:
            changes += kibana_plan(kibana)
    found = differences(changes)
    if not found:
        console.print(Text(f"no difference: {len(changes)} things are as this version has them"))
        return
    _show(console, "Differences", found, lines=True)
    raise typer.Exit(1)


def _uninstall(
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    dry_run: DryRun = False,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete all scores and checkpoints too, for good.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before data is deleted.")] = False,
    kibana_url: KibanaUrl = None,
    kibana_ca: KibanaCa = None,
) -> None:
    """Remove exactly what `install` made. Scores, checkpoints and your own @custom templates stay.

    \b
    Example:
      qscore elastic uninstall --user elastic --dry-run
    """
    settings, console = load_settings(), terminal.console()
    login = _login(settings, user, password_file, key_file)
    with elastic_extra():
        from elastic_connector.install.installer import removal_plan, uninstall
        from elastic_connector.install.keys import key_requests, remove_keys
        from elastic_connector.install.kibana_assets import uninstall_kibana
    opened = _kibana(kibana_url, kibana_ca, login) if kibana_url else nullcontext()
    with opened as kibana, cluster_of(settings, login) as cluster:
        if delete_data and not dry_run and not yes:  # before anything is removed
            _show(console, "Elasticsearch, to be removed", removal_plan(cluster, delete_data))
            typer.confirm("Delete all scores and checkpoints for good?", abort=True)
        if kibana is not None:
            _show(console, "Kibana", uninstall_kibana(kibana, dry_run))
        removed = removal_plan(cluster, delete_data) if dry_run else uninstall(cluster, delete_data)
        _show(console, "Elasticsearch", removed)
        if login.user:
            _show_keys(
                console, remove_keys(cluster, key_requests(cluster.names, _patterns(settings)), dry_run), dry_run
            )
        else:
            console.print(
                Text("The API keys stay, because a key cannot end others: add --user NAME to invalidate them.")
            )


def _show(console: Console, title: str, changes: Iterable[Change], lines: bool = False) -> None:
    """Print a table of what happens; with ``lines`` the differences below it, but not of what is new as a whole."""
    listed = list(changes)
    table = Table("", "what", "name", "why", title=title, title_justify="left")
    for change in listed:
        style = _STYLES.get(change.action, "")
        table.add_row(Text(change.action, style=style), Text(change.kind), Text(change.name), Text(change.why))
    console.print(table)
    for change in listed:
        if lines and change.lines and change.action != "create":
            _show_lines(console, f"{change.kind} {change.name}", change.lines)


def _show_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    console.print(Text(title, style="bold"))
    for line in lines:
        console.print(Text("  " + line, style=_LINE_STYLES.get(line[:1], "")))


def _show_keys(console: Console, changes: Sequence[KeyChange], dry_run: bool) -> None:
    for change in changes:
        console.print(Text(f"API key {change.name}: {'would be ' if dry_run else ''}{_DONE[change.action]}"))
        if change.action == "update":
            _show_lines(console, f"privileges of {change.name}", change.lines)
        if change.lost:
            console.print(Text(f"  {change.lost}", style="yellow"))


_DONE = {"create": "made", "update": "updated", "keep": "kept", "remove": "invalidated"}
