"""How `qscore elastic install`, `diff`, `uninstall` and `doctor` log in: as a user, or with a key from a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scorer.secret_file import read_secret
from scorer.service.settings import Settings
from scorer.wire.errors import BadOption, ConfigurationError

if TYPE_CHECKING:  # the package elasticsearch is an extra: nothing of it is loaded until a command runs
    from elastic_connector.install.cluster import Cluster

User = Annotated[str | None, typer.Option(help="Log in as this user; the password is asked for.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File (mode 0600) with the user's password.")]
KeyFile = Annotated[Path | None, typer.Option(help="File (mode 0600) with an encoded API key to log in with.")]
KibanaUrl = Annotated[str | None, typer.Option(help="https://host:5601 of Kibana; needs --user.")]
KibanaCa = Annotated[Path | None, typer.Option(help="PEM of the authority of Kibana's certificate.")]


@dataclass(frozen=True)
class Login:
    """A user with a password, or a file with a key; both empty: what the settings name."""

    user: str = ""
    password: str = ""
    key_file: Path | None = None

    @classmethod
    def of(cls, user: str | None, password_file: Path | None, key_file: Path | None) -> Login:
        """Make a login from the options. Raises BadOption for options that contradict each other."""
        if user and key_file:
            raise BadOption("--user and --key-file are both given", "Log in with one of them.")
        if password_file and not user:
            raise BadOption("--password-file is given without --user", "Add --user NAME.")
        if not user:
            return cls(key_file=key_file)
        return cls(user, _password(user, password_file))


def _password(user: str, path: Path | None) -> str:
    if path is None:
        return str(typer.prompt(f"Password of {user}", hide_input=True, err=True))
    return read_secret(path.expanduser(), "--password-file", "password")


def installer_key(settings: Settings) -> Path:
    """Return where `qscore elastic install` puts the installer key."""
    return settings.home / "private" / "elastic_installer_key"


@contextmanager
def cluster_of(settings: Settings, login: Login) -> Iterator[Cluster]:
    """Open the cluster of the settings, with that login. Raises ConfigurationError where no login is known."""
    from elastic_connector.install.asset_files import Names
    from elastic_connector.install.cluster import Cluster
    from scorer.elastic_client.client import connect

    elastic = settings.elastic
    if login.user:
        client = connect(elastic, (login.user, login.password))
    else:
        path = login.key_file or elastic.api_key_file
        if path is None:
            raise ConfigurationError(
                "there is no login for Elasticsearch",
                "Give --user NAME (an administrator, the first time), or --key-file FILE, or set elastic.api_key_file.",
            )
        client = connect(elastic.model_copy(update={"api_key_file": path}))
    try:
        yield Cluster(client, Names(state_index=elastic.state_index))
    finally:
        client.close()
