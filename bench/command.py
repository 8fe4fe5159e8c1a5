"""`| qscore` with scoring included beside a splunklib command that does nothing, over the same chunks.

    python bench/command.py [--events 100000] [--chunk 50000] [--rounds 5]

Starts the real stack (queue, gateway, two workers) in a folder of its own, trains the starter, builds and unpacks the
app, and drives the app's command and splunklib 2.1.1's StreamingCommand by the same driver, in turns, under every
Python that Splunk ships and that is found here. Prints events per second from the first chunk to the last reply and
their ratio, the time to the getinfo reply (all: best of the rounds, for both), and the command's largest resident size
after 2 and after 20 chunks. Three processes of ours share the cores with the driver: on a busy machine the ratio
means nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.running_stack import running_stack
from demo.standins.search_process import SearchProcess
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.rows.recipe import load_recipe
from scorer.service.access.authority import server_files
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState
from scorer.training.starter.model import starter_rows
from scorer.wire.client import GatewayClient

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL = "lateral"
SESSION = "benchmark"
FIELDS = 12

PEER = """
import sys
sys.path.insert(0, {libraries!r})
from splunklib.searchcommands import Configuration, StreamingCommand, Option, dispatch

@Configuration(distributed=False)
class Nothing(StreamingCommand):
    model = Option(require=True)

    def stream(self, records):
        yield from records

dispatch(Nothing, sys.argv, sys.stdin, sys.stdout, __name__)
"""


@dataclass(frozen=True)
class Timing:
    """``start``: seconds to the getinfo reply. ``work``: seconds from the first chunk to the last reply."""

    start: float
    work: float
    resident_kib: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--chunk", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qscore-bench-") as name, trained_stack(Path(name) / "home") as stack:
        report(Path(name), *stack, options)


def report(folder: Path, settings: Settings, state: StackState, options: argparse.Namespace) -> None:
    """Measure and print."""
    with client_of(settings, state) as client:
        inputs = client.card(MODEL).required_fields
    peer = write_peer(folder)
    files = server_files(settings)
    key = settings.local_key.read_text().strip()
    with SplunkdEndpoint(SESSION, {"qscore:gateway:": key}, files.certificate, files.private_key) as splunkd:
        app = install_app(folder, state, settings.gateway.hostnames[0])
        searchinfo = {"splunkd_uri": splunkd.url, "session_key": SESSION}
        print(
            f"model {MODEL}: {len(inputs)} inputs; {options.events} events x {FIELDS} fields, chunks of {options.chunk}"
        )
        print(f"{'Python':8}{'rows':28}{'qscore/s':>12}{'splunklib/s':>13}{'ratio':>8}{'start s':>9}{'peer':>7}")
        for python in interpreters():
            commands = ([python, "-I", str(app)], [python, "-I", str(peer)])
            for kind, make in KINDS.items():
                chunks = make(inputs, options.events, options.chunk)
                print(comparison(python, kind, commands, chunks, searchinfo, options))
            print(memory(python, commands[0], plain_rows(inputs, options.chunk, options.chunk)[0], searchinfo))


def comparison(
    python: str,
    kind: str,
    commands: tuple[Sequence[str], Sequence[str]],
    chunks: Sequence[bytes],
    searchinfo: dict[str, str],
    options: argparse.Namespace,
) -> str:
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(drive(commands[0], chunks, searchinfo, options.events))
        theirs.append(drive(commands[1], chunks, searchinfo, 0))
    own, peer = (options.events / min(timing.work for timing in timings) for timings in (ours, theirs))
    starts = [min(timing.start for timing in timings) for timings in (ours, theirs)]
    version = version_of(python)
    return f"{version:8}{kind:28}{own:12,.0f}{peer:13,.0f}{own / peer:8.2f}{starts[0]:9.2f}{starts[1]:7.2f}"


def memory(python: str, command: Sequence[str], chunk: bytes, searchinfo: dict[str, str]) -> str:
    rows = chunk.count(b"\n") - 1
    few, many = (drive(command, [chunk] * count, searchinfo, rows * count).resident_kib for count in (2, 20))
    return (
        f"{version_of(python):8}largest resident size: {few / 1024:.1f} MiB after 2 chunks, {many / 1024:.1f} after 20"
    )


def drive(command: Sequence[str], chunks: Sequence[bytes], searchinfo: dict[str, str], expected: int) -> Timing:
    """One search, of which ``expected`` rows must come back scored."""
    begun = time.perf_counter()
    with SearchProcess(command) as process:
        process.getinfo([f"model={MODEL}"], sid=f"{time.time():.6f}", **searchinfo)
        started, scored = time.perf_counter(), 0
        messages: tuple[tuple[str, str], ...] = ()
        for at, chunk in enumerate(chunks):
            answer = process.execute(chunk, finished=at == len(chunks) - 1)
            scored += answer.body.count(b",ok\n")
            messages += answer.messages
        ended = time.perf_counter()
        if scored != expected:
            raise SystemExit(f"{scored} of {expected} rows came back with scores: {messages}")
        resident = _peak_kib(process.pid)
        process.finish()
    return Timing(started - begun, ended - started, resident)


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise SystemExit("this system does not say how much memory a process used")


#: Fields that a search has beside the model's inputs.
OTHERS = {
    "_time": "1700000{at:03d}",
    "user": "user{at}",
    "src": "10.1.0.{at}",
    "dest": "srv{at}.corp.example",
    "host": "dc{at}",
    "sourcetype": "XmlWinEventLog",
    "index": "wineventlog",
    "action": "success",
    "app": "win:remote",
    "signature_id": "4624",
    "eventtype": "windows_logon_success",
    "vendor": "Microsoft",
}


def plain_rows(inputs: Sequence[str], events: int, size: int) -> list[bytes]:
    """Rows as the shipped macros make them: no quotes. The model's inputs, and others up to FIELDS."""
    return _plain(inputs, activity(inputs, events), size)


def different_rows(inputs: Sequence[str], events: int, size: int) -> list[bytes]:
    """The same with a small fraction of its own on each row's first input: equal rows, scored once, do not occur."""
    rows = (row.partition(",") for row in activity(inputs, events))
    return _plain(inputs, [f"{float(first) + at * 1e-6:.6f},{rest}" for at, (first, _, rest) in enumerate(rows)], size)


def _plain(inputs: Sequence[str], activity_rows: Sequence[str], size: int) -> list[bytes]:
    others = list(OTHERS)[: max(0, FIELDS - len(inputs))]
    rng = random.Random(1)  # noqa: S311 (no secret)
    rows = [",".join([*(_other(rng, name) for name in others), row]) for row in activity_rows]
    return _chunks([*others, *inputs], rows, size)


def quoted_rows(inputs: Sequence[str], events: int, size: int) -> list[bytes]:
    """The same with a multivalue user and a quoted event of two lines among the fields."""
    others = ["_time", "src", "dest", "host"][: max(0, FIELDS - 2 - len(inputs))]
    names = [*others, *inputs, "user", "_raw", "__mv_user"]
    texts = '"alice\nbob","An account, ""alice"", was\nlogged on",$alice$;$bob$'
    rng = random.Random(2)  # noqa: S311 (no secret)
    rows = [",".join([*(_other(rng, name) for name in others), row, texts]) for row in activity(inputs, events)]
    return _chunks(names, rows, size)


KINDS = {"plain": plain_rows, "plain, none equal": different_rows, "quoted and multivalue": quoted_rows}


def activity(inputs: Sequence[str], events: int) -> list[str]:
    """The model's inputs of generated activity that it was not trained on: about one row in a hundred alerts."""
    rows = starter_rows(load_recipe(MODEL), 20_000, seed=9).rows
    lines = [",".join(map(str, row)) for row in zip(*(rows[name].to_pylist() for name in inputs), strict=True)]
    return [lines[at % len(lines)] for at in range(events)]


def _other(rng: random.Random, name: str) -> str:
    return OTHERS[name].format(at=rng.randrange(200))


def _chunks(names: Sequence[str], rows: Sequence[str], size: int) -> list[bytes]:
    header = ",".join(names)
    return ["\n".join([header, *rows[at : at + size], ""]).encode() for at in range(0, len(rows), size)]


@contextlib.contextmanager
def trained_stack(home: Path) -> Iterator[tuple[Settings, StackState]]:
    """`qscore train` and `qscore up` in a folder of their own; stopped at the end."""
    program = [sys.executable, "-m", "scorer.cli.main", "train", "--model", MODEL]
    subprocess.run(program, env={**os.environ, "QSCORE_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL)
    with running_stack(home, "--port", "0") as state:
        settings = load_settings(home=home)
        until_compiled(settings)
        yield settings, state


def until_compiled(settings: Settings) -> None:
    """Wait until every scoring process has its compiled engine: on a new installation that takes it some seconds."""
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        said = sum(log.read_text().count('"event": "engine"') for log in (settings.home / "logs").glob("worker*.log"))
        if said >= settings.worker.processes:
            return
        time.sleep(0.5)
    raise SystemExit("the workers did not load their engine within two minutes; see the logs of `qscore up`")


def client_of(settings: Settings, state: StackState) -> GatewayClient:
    key = settings.local_key.read_text().strip()
    return GatewayClient(state.url, key, state.ca_file, 5.0, settings.gateway.hostnames[0])


def install_app(folder: Path, state: StackState, hostname: str) -> Path:
    """Build and unpack the app, set it up, and return its command's script."""
    build = [sys.executable, str(REPOSITORY / "packaging" / "build_app.py"), "--out", str(folder / "dist")]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (archive,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "apps", filter="data")
    app = folder / "apps" / "qscore"
    (app / "local").mkdir()
    (app / "local" / "qscore.conf").write_text(
        f"[gateway]\nurl = {state.url}\nca_file = {state.ca_file}\nserver_name = {hostname}\n"
        f"[splunkd]\nca_file = {state.ca_file}\n"
    )
    return app / "bin" / "qscore.py"


def write_peer(folder: Path) -> Path:
    """The command that does nothing, with splunklib copied beside it: other Pythons must not see this environment."""
    libraries = folder / "peer"
    libraries.mkdir()
    for name in ("splunklib", "deprecation"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise SystemExit("splunk-sdk 2.1.1 is not installed (requirements/dev.txt)")
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, libraries / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, libraries)
    script = folder / "nothing.py"
    script.write_text(PEER.format(libraries=str(libraries)))
    return script


def interpreters() -> list[str]:
    """Pythons 3.9 and 3.13 on PATH or under pyenv; this one where neither is found."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in ("3.9", "3.13"):
        candidates = [
            *sorted(map(str, pyenv.glob(f"{version}*/bin/python{version}"))),
            shutil.which(f"python{version}"),
        ]
        found += [
            c
            for c in candidates
            if c and subprocess.run([c, "-c", ""], check=False, capture_output=True).returncode == 0
        ][:1]
    return found or [sys.executable]


def version_of(python: str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
