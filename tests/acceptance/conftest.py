"""The built app, unpacked into a fresh folder, between a splunkd stand-in and a gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from demo.standins.search_process import SearchOutcome, SearchProcess, run_search
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from tests.acceptance.scripted_gateway import KEY, ScriptedGateway
from tests.conftest import build

SESSION_KEY = "session-key-of-the-search"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test: its PEM, one for an address, and one as Splunk's default is named."""

    ca: Path
    address: Path
    splunk_default: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    made = Authority(folder / "ca.pem", folder / "address.pem", folder / "splunkd.pem")
    ca.cert_pem.write_to_path(str(made.ca))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(made.address))
    # Splunk's default certificate carries this name and no address.
    ca.issue_cert("SplunkServerDefaultCert").private_key_and_cert_chain_pem.write_to_path(str(made.splunk_default))
    return made


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built app."""
    return build("build_app.py", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session", params=["3.9", "3.13"])
def interpreter(request: pytest.FixtureRequest, require: Callable[[bool, str], None]) -> str:
    """Pythons that Splunk ships, on PATH or under pyenv."""
    found = find_python(request.param)
    require(found is not None, f"Python {request.param} is neither on PATH nor under pyenv")
    return str(found)


def find_python(version: str) -> str | None:
    """A working interpreter of that version; a shim of pyenv may stand on PATH and not work."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path) for path in sorted(pyenv.glob(f"{version}*/bin/python{version}"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


@pytest.fixture
def splunkd(authority: Authority) -> Iterator[SplunkdEndpoint]:
    with SplunkdEndpoint(SESSION_KEY, {"qscore:gateway:": KEY}, authority.splunk_default) as endpoint:
        yield endpoint


@pytest.fixture
def gateway(authority: Authority) -> Iterator[ScriptedGateway]:
    with ScriptedGateway(authority.address) as endpoint:
        yield endpoint


@dataclass(frozen=True)
class InstalledApp:
    """The app in a folder, and what splunkd would tell its command."""

    folder: Path
    interpreter: str
    searchinfo: dict[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [self.interpreter, "-I", str(self.folder / "bin" / "qscore.py")]

    def configure(self, text: str) -> None:
        (self.folder / "local").mkdir(exist_ok=True)
        (self.folder / "local" / "qscore.conf").write_text(text)

    def search(self, args: Sequence[str], chunks: Sequence[bytes], **searchinfo: Any) -> SearchOutcome:
        """A whole search in a process of its own."""
        return run_search(self.command, args, chunks, **{**self.searchinfo, **searchinfo})

    def open(self) -> SearchProcess:
        return SearchProcess(self.command)


@pytest.fixture
def app(
    archive: Path,
    interpreter: str,
    splunkd: SplunkdEndpoint,
    gateway: ScriptedGateway,
    authority: Authority,
    tmp_path: Path,
) -> InstalledApp:
    """The built app, set up for the scripted gateway."""
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "apps", filter="data")
    searchinfo = {"splunkd_uri": splunkd.url, "session_key": SESSION_KEY, "sid": "1700000000.1"}
    installed = InstalledApp(tmp_path / "apps" / "qscore", interpreter, searchinfo)
    installed.configure(settings_for(gateway.url, authority.ca, authority.ca))
    return installed


def settings_for(url: str, ca: Path, splunkd_ca: Path) -> str:
    """local/qscore.conf."""
    return f"[gateway]\nurl = {url}\nca_file = {ca}\n\n[splunkd]\nca_file = {splunkd_ca}\n"
