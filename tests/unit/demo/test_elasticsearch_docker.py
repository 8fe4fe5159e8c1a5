"""The development server from Docker, against a stand-in for Docker's command that is strict about what it is asked.

No Docker engine could be used while this was written: that the official image itself starts so is not shown here.
"""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from demo.elasticsearch_server import VERSION, available, dev_server
from scorer.wire.errors import Unavailable

# Knows info, run, inspect and kill. A "container" is a process that answers on the published port, and asks for the
# password that the container was given. With the file "broken" beside it, the container ends at once.
_DOCKER = """#!{python} -S
import base64, http.server, json, os, signal, subprocess, sys, time
from pathlib import Path
here = Path(__file__).parent
command, arguments = sys.argv[1], sys.argv[2:]
if command == "serve":
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            right = "Basic " + base64.b64encode(("elastic:" + arguments[1]).encode()).decode()
            self.send_response(200 if self.headers["Authorization"] == right else 401)
            self.end_headers()
        def log_message(self, *_):
            pass
    http.server.HTTPServer(("127.0.0.1", int(arguments[0])), Answer).serve_forever()
elif command == "info":
    assert not arguments
elif command == "run":
    (here / "run.json").write_text(json.dumps(arguments))
    if (here / "broken").exists():
        (here / "pid").write_text("0")
        if (here / "broken").read_text() == "at once":
            sys.exit("docker: no such image")
        print("c0ffee")
        sys.exit(0)
    port = arguments[arguments.index("-p") + 1].split(":")[1]
    password = next(a for a in arguments if a.startswith("ELASTIC_PASSWORD=")).partition("=")[2]
    served = subprocess.Popen([sys.executable, "-S", __file__, "serve", port, password], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (here / "pid").write_text(str(served.pid))
    print("c0ffee")
elif command in ("inspect", "kill"):
    assert arguments[-1] == "c0ffee", arguments
    pid = int((here / "pid").read_text())
    if not pid or not Path("/proc/%d" % pid).exists():
        sys.exit("no such container")
    print("true")
    if command == "kill":
        os.kill(pid, signal.SIGKILL)
else:
    sys.exit("unknown command " + command)
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-in, the only one on the path: neither Java nor Maven is there."""
    command = tmp_path / "docker"
    command.write_text(_DOCKER.replace("{python}", sys.executable))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("QSCORE_TEST_ELASTICSEARCH_URL", raising=False)
    return tmp_path


def asked(url: str, user: str, password: str) -> int:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})  # noqa: S310  # loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_container_serves_on_loopback_with_security_on_and_is_gone_afterwards(docker: Path) -> None:
    assert available()
    with dev_server() as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert asked(server.url, server.user, server.password) == 200
        assert asked(server.url, server.user, "wrong") == 401
        pid = int((docker / "pid").read_text())
    arguments = json.loads((docker / "run.json").read_text())
    assert arguments[:2] == ["--rm", "-d"]
    assert arguments[2:4] == ["-p", f"{server.url.removeprefix('http://')}:9200"]
    assert {"discovery.type=single-node", "xpack.security.enabled=true"} <= set(arguments)
    assert arguments[-1] == f"docker.elastic.co/elasticsearch/elasticsearch:{VERSION}"
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize(("how", "says"), [("at once", "no such image"), ("later", "ended while it started")])
def test_a_container_that_does_not_start_is_not_waited_for(docker: Path, how: str, says: str) -> None:
    (docker / "broken").write_text(how)
    with pytest.raises(Unavailable) as caught, dev_server():
        pass
    assert says in caught.value.detail


def test_after_a_failure_inside_the_block_the_container_is_gone_too(docker: Path) -> None:
    with pytest.raises(KeyError), dev_server():
        raise KeyError
    assert not _runs(int((docker / "pid").read_text()))
