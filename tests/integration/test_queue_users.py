"""The whole stack on two servers with TLS, as packaging/ sets them up: each process is a user who may do what its work
needs, and no more.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from elastic_connector.lead.batches import Queues, StreamRoute, packed
from elastic_connector.lead.ledger import Batch
from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.door.tokens import Tokens
from scorer.service.queue.broker import DURABLE, FAST, redis_client
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.closing.draining import under_way
from scorer.service.queue.closing.switches import SwitchBoard
from scorer.service.queue.exchange import BatchOutcome
from scorer.service.queue.exchanges import Exchanges, durable_exchange
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import BULK, LANES
from scorer.service.queue.sealing.seal import Seal
from scorer.service.queue.submit import Admission, Submitter, packed_task
from scorer.service.settings import Settings, load_settings
from scorer.wire.client import GATEWAY, GatewayClient
from scorer.wire.errors import Draining, Unavailable
from scorer.wire.names import MEDIA_CSV, QUEUE_BULK
from scorer.wire.options import ScoreOptions
from scorer.wire.transport import HttpAnswer, TlsConnection, Trust
from tests.integration.stack_tools import body, eventually

SERVERS = ("durable", "fast")
SUBMITTER = "elastic:site:lateral:1"
ADMIN = "user admin on nopass +@all ~* &*\n"
PROCESSES = {
    "gateway": (["scorer.service.gateway"],),
    "worker": (["scorer.service.worker", "score"], ["scorer.service.worker", "bulk"]),
    "deliver": (["scorer.service.worker", "deliver"],),
}


@dataclass(frozen=True)
class Site:
    """Two servers and a home. ``folder`` holds what packaging/compose/prepare.py wrote."""

    folder: Path
    ports: dict[str, int]
    home: Path
    gateway_port: int

    def admin(self, server: str) -> redis.Redis:
        return redis.Redis(
            "localhost", self.ports[server], username="admin", password="any", ssl=True,
            ssl_ca_certs=str(self.folder / "queue_ca.pem"),
        )  # fmt: skip

    def url(self, user: str, server: str) -> str:
        settings = tomllib.loads((self.folder / f"{user}.toml").read_text())
        return str(settings["broker_url" if server == "durable" else "interactive_broker_url"])

    def variables(self, user: str) -> dict[str, str]:
        """Of a process that is ``user`` to the servers; the settings are those that prepare.py wrote."""
        return {
            "QSCORE_CONFIG": str(self.folder / f"{user}.toml"),
            "QSCORE_HOME": str(self.home),
            "QSCORE_BROKER_CA": str(self.folder / "queue_ca.pem"),
            "QSCORE_QUEUE_KEY_FILE": str(self.folder / "queue_seal"),
            "QSCORE_GATEWAY__PORT": str(self.gateway_port),
            "QSCORE_GATEWAY__HOST": "127.0.0.1",
            "QSCORE_SINK": "file",
            "QSCORE_SINK_FILE": str(self.home.parent / "scores.ndjson"),
            "QSCORE_WORKER__PROCESSES": "1",
        }

    def settings(self, user: str, server: str = "durable", **more: Any) -> Settings:
        given = {"broker_url": self.url(user, server), "queue_key_file": self.folder / "queue_seal"} | more
        return load_settings(home=self.home, broker_ca=self.folder / "queue_ca.pem", **given)

    def both(self, user: str) -> Settings:
        return self.settings(user, interactive_broker_url=self.url(user, "fast"))

    def qscore(self, user: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of somebody who is ``user`` to the servers."""
        command = [sys.executable, "-m", "scorer.cli.main", *words]
        variables = os.environ | self.variables(user)
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)

    @property
    def gateway_url(self) -> str:
        return f"https://localhost:{self.gateway_port}"

    def new_key(self) -> str:
        return KeyFile(self.home / "api_keys.json").add(("read", "score", "write"))[1]

    def client(self) -> GatewayClient:
        return GatewayClient(self.gateway_url, self.new_key(), str(self.home / "tls" / "ca.pem"), timeout=20.0)


@contextmanager
def running(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as said, subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | variables) as one:
        try:
            yield one
        finally:
            one.kill()  # pool processes end with their worker


def configured(repository: Path, folder: Path, name: str, port: int) -> list[str]:
    """The arguments of a server with the shipped configuration, whose paths are this machine's here."""
    places = {"/etc/valkey": str(folder), "tls-port 6379": f"tls-port {port}", "dir /tmp": f"dir {folder / name}"}
    places |= {"/run/secrets/queue_users": str(folder / f"users-{name}.acl"), "dir /data": f"dir {folder / name}"}
    places |= {f"/run/secrets/queue_{what}": str(folder / f"queue_{what}.pem") for what in ("certificate", "key", "ca")}
    for file in ("common.conf", f"{name}.conf"):
        text = (repository / "packaging" / "valkey" / file).read_text()
        for usual, here in places.items():
            text = text.replace(usual, here)
        (folder / file).write_text(text)
    (folder / name).mkdir()
    return [str(folder / f"{name}.conf")]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def as_known_to(program: str, users: str) -> str:
    """The users' file without what Redis 7.0 does not know: clients there do not say which library they are."""
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return users.replace("+client|setinfo ", "") if "v=7.0." in version else users


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    publish_tiny: Callable[[Path], None],
    repository: Path,
    require: Callable[[bool, str], None],
) -> Iterator[Site]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    require(program is not None, "no redis-server with TLS is on PATH (Debian: redis-server)")
    folder = tmp_path_factory.mktemp("users")
    *numbers, gateway_port = free_ports(len(SERVERS) + 1)
    ports = dict(zip(SERVERS, numbers, strict=True))
    there = [f"--{name}=localhost:{port}" for name, port in ports.items()]
    prepare = [sys.executable, str(repository / "packaging" / "compose" / "prepare.py"), "--out", str(folder / "made")]
    subprocess.run([*prepare, *there], check=True, timeout=30)
    publish_tiny(folder / "home")
    site = Site(folder / "made", ports, folder / "home", gateway_port)
    with ExitStack() as stack:
        for name, port in ports.items():
            users = site.folder / f"users-{name}.acl"
            users.write_text(as_known_to(str(program), users.read_text()) + ADMIN)
            command = [str(program), *configured(repository, site.folder, name, port)]
            stack.enter_context(running(command, folder / f"{name}.log"))
        reached = eventually(lambda: all(answers(site.admin(name)) for name in SERVERS), 60)
        assert reached, {name: refusal(site.admin(name)) for name in SERVERS}
        for user, commands in PROCESSES.items():
            for module in commands:
                command = [sys.executable, "-m", *module]
                stack.enter_context(running(command, folder / f"{'-'.join(module)}.log", **site.variables(user)))
        assert eventually(lambda: scores(site), 150), [log.read_text()[-500:] for log in folder.glob("*.log")]
        yield site


def refusal(client: redis.Redis) -> str:
    """Why a server does not answer, for the message of a test."""
    try:
        client.ping()
    except redis.exceptions.RedisError as error:
        return f"{type(error).__name__}: {error}"
    return "it answers now"


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:
        return False


def scores(site: Site) -> bool:
    """Whether both lanes score, and somebody delivers."""
    if not site.admin("durable").zcard("qscore:workers:deliver"):
        return False
    try:
        with site.client() as client:
            return all(client.score("lateral", body(2), 2, bulk=bulk).scored == 2 for bulk in (False, True))
    except Unavailable:
        return False


def asked(site: Site, method: str, path: str) -> HttpAnswer:
    connection = TlsConnection(site.gateway_url, GATEWAY, Trust(str(site.home / "tls" / "ca.pem")))
    headers = {"Authorization": f"Bearer {site.new_key()}"}
    try:
        return connection.exchange(method, path, b"" if method == "POST" else None, headers, 20.0, 1_000_000)
    finally:
        connection.close()


def alive(site: Site, user: str, *words: str, **more: str) -> tuple[int, str]:
    """What the liveness check says of a process of the site."""
    command = [sys.executable, "-m", "scorer.service.alive", *words]
    variables = os.environ | site.variables(user) | more
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr.strip()


def refusals(site: Site) -> list[str]:
    """What a server refused one of our processes: command or key, and who it was."""
    return [
        f"{name}: {entry['username']} {entry['reason']} {entry['object']}"
        for name in SERVERS
        for entry in site.admin(name).acl_log()
    ]


def job(batch_id: str) -> ScoreJob:
    now = time.time()
    return ScoreJob(batch_id, "lateral", ScoreOptions(write=True), 3, MEDIA_CSV, now + 60, now, submitter=SUBMITTER)


def test_each_process_may_do_what_its_work_needs(site: Site) -> None:
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    with site.client() as client:
        for bulk in (False, True):
            for write in (False, True):
                assert client.score("lateral", body(300), 300, ScoreOptions(write=write), bulk=bulk).scored == 300
    token = json.loads(asked(site, "POST", "/v1/token").body)["access_token"]
    with GatewayClient(site.gateway_url, token, str(site.home / "tls" / "ca.pem"), timeout=20.0) as client:
        assert client.models()
    assert b'qscore_backlog_seconds{queue="bulk"}' in asked(site, "GET", "/metrics").body
    settings = site.settings("connector")
    exchange = durable_exchange(settings, connections=2, longest_wait=20.0)
    submitter = Submitter.of(settings, exchange.client)
    admission = Admission((QUEUE_BULK, "deliver"), 10, alive=False)
    assert exchange.raise_epoch("site:lateral", 1) == 1
    submitter.put(job("from-a-connector"), QUEUE_BULK, body(3), 60.0, admission)
    outcome = exchange.wait_outcome(SUBMITTER, 20.0)
    assert outcome == BatchOutcome.of(Acknowledgement("from-a-connector", 3))
    assert exchange.take_outcomes(SUBMITTER) == []
    assert refusals(site) == []


def test_a_connector_may_do_all_that_its_leader_does(site: Site, tiny_model: TrainedModel) -> None:
    """With its settings as prepare.py writes them, which name one server: to them it is the only one."""
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    settings = site.settings("connector")
    queues = Queues.of(settings, durable_exchange(settings, connections=2, longest_wait=20.0))
    sender = queues.sender(card_of(tiny_model, "1-starter"), StreamRoute("site", "lateral", 1, "lab"))
    assert sender.announce() == 1
    assert not sender.busy()
    sender.send(Batch("from-a-leader", packed(pa.table({"events": [1.0, 2.0]})), 2, None, time.time()))
    assert sender.wait_outcome(20.0) is not None
    assert sender.outcomes() == []
    assert refusals(site) == []


def test_a_batch_whose_worker_was_lost_comes_again(site: Site) -> None:
    """As kombu leaves it: no longer on the list, held by nobody who lives, its time long over."""
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    settings = site.settings("connector")
    lost = replace(job("held-by-nobody"), body=body(3))
    message = packed_task(build_app(settings, BULK), BULK.task, lost.to_kwargs(), QUEUE_BULK, lost.batch_id)
    sealed = Seal.of(settings, DURABLE).close(LANES.keys[QUEUE_BULK], message)
    durable, tag = site.admin("durable"), str(uuid.uuid4())
    durable.hset(f"{BULK.prefix}unacked", tag, b"[" + sealed + b', "", "' + QUEUE_BULK.encode() + b'"]')
    durable.zadd(f"{BULK.prefix}unacked_index", {tag: 1.0})
    outcome = durable_exchange(settings, connections=1, longest_wait=30.0).wait_outcome(SUBMITTER, 30.0)
    assert outcome == BatchOutcome.of(Acknowledgement("held-by-nobody", 3))
    assert refusals(site) == []


def test_what_bears_no_seal_is_nothing_to_the_workers(site: Site) -> None:
    """Whoever has the connector's password, but not the key, has nothing scored and nothing written."""
    settings = site.settings("connector")
    exchange, admission = durable_exchange(settings, connections=2, longest_wait=20.0), Admission((QUEUE_BULK,), 10)
    for batch_id, sender in (("forged", site.settings("connector", queue_key_file=None)), ("true", settings)):
        Submitter.of(sender, exchange.client).put(job(batch_id), QUEUE_BULK, body(3), 60.0, admission)
    outcome = exchange.wait_outcome(SUBMITTER, 20.0)
    assert outcome == BatchOutcome.of(Acknowledgement("true", 3))
    assert "bears no seal" in (site.home.parent / "scorer.service.worker-bulk.log").read_text()


def test_operators_drain_and_open_again(site: Site) -> None:
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    drained = site.qscore("operator", "drain", "--wait", "20")
    assert (drained.returncode, drained.stdout.splitlines()[-1:]) == (
        0,
        ["nothing is under way; `qscore up` can be stopped"],
    ), drained.stderr
    with site.client() as client, pytest.raises(Draining):
        client.score("lateral", body(1), 1)
    assert under_way(Exchanges.of(site.both("gateway"))).total == 0  # by a command in a gateway's pod
    assert site.qscore("operator", "drain", "--undo").returncode == 0
    with site.client() as client:
        assert client.score("lateral", body(1), 1).scored == 1
    assert refusals(site) == []


def test_operators_switch_models_off_for_everybody(site: Site) -> None:
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    board = SwitchBoard(site.home.parent / "operators.json", durable_exchange(site.settings("operator")).client)
    connector = durable_exchange(site.settings("connector"), longest_wait=5.0)
    seen = SwitchBoard(site.home.parent / "connectors.json", connector.client)
    key, secret = KeyFile(site.home / "api_keys.json").add(("score", "write"))
    submitter = f"{key.id}:me"
    board.change(lambda now: now.with_off("lateral"))
    try:
        assert eventually(lambda: seen.now().stop("lateral"), 5)
        client = GatewayClient(site.gateway_url, secret, str(site.home / "tls" / "ca.pem"), timeout=20.0)
        send = functools.partial(
            client.score, "lateral", body(2), 2, ScoreOptions(write=True), "switched-off", bulk=True
        )
        with client:
            assert eventually(lambda: send(submitter=submitter).scored == 0, 10)
        outcomes = iter(lambda: connector.wait_outcome(submitter, 1.0), None)
        assert BatchOutcome.of(Acknowledgement("switched-off", 0)) in outcomes
    finally:
        board.change(lambda now: now.without("lateral"))
    assert eventually(lambda: scores(site), 10)
    assert refusals(site) == []


def test_a_revoked_keys_tokens_end_at_the_servers(site: Site) -> None:
    for name in SERVERS:
        site.admin(name).acl_log_reset()
    keys = KeyFile(site.home / "api_keys.json")
    key = keys.get(keys.add(("read",))[0].id)
    assert key is not None
    issuer, ender = (Tokens(redis_client(site.both(user), server=FAST), 5) for user in ("gateway", "operator"))
    issuer.issue(key, key.rights, 60)
    assert ender.end(key.id) == 1
    assert refusals(site) == []


def test_the_liveness_check_sees_each_process(site: Site) -> None:
    assert alive(site, "gateway", "gateway") == (0, "alive")
    for user, lane in (("worker", "score"), ("worker", "bulk"), ("deliver", "deliver")):
        assert alive(site, user, "worker", lane, "--ready") == (0, "alive")
    assert alive(site, "worker", "worker", "qpu") == (1, "no worker of the lane qpu beats on this host")
    nowhere = {"QSCORE_GATEWAY__PORT": "1", "QSCORE_ELASTIC__HEALTH_PORT": "1"}
    assert alive(site, "gateway", "gateway", **nowhere)[0] == 1
    assert alive(site, "worker", "connector", **nowhere)[0] == 1


def test_a_worker_whose_queue_is_away_is_alive_and_not_ready(site: Site) -> None:
    away = {"QSCORE_BROKER_URL": "rediss://localhost:1/0"}
    assert alive(site, "worker", "worker", "bulk", **away) == (0, "alive")
    assert alive(site, "worker", "worker", "bulk", "--ready", **away)[0] == 1


@pytest.mark.parametrize(
    ("user", "server", "command"),
    [
        ("gateway", "durable", ["GET", "qscore:rows:batch:0"]),
        ("gateway", "durable", ["LPUSH", "qscore:d:deliver", "forged"]),
        ("gateway", "durable", ["BLPOP", "qscore:q:bulk", "1"]),
        ("gateway", "fast", ["LRANGE", "qscore:i:interactive", "0", "-1"]),
        ("worker", "durable", ["GET", "qscore:rows:batch:0"]),
        ("worker", "durable", ["BRPOP", "qscore:d:deliver", "1"]),
        ("worker", "durable", ["EVAL", "return redis.call('GET', KEYS[1])", "1", "qscore:rows:batch:0"]),
        ("worker", "fast", ["EVAL", "return redis.call('KEYS', '*')", "0"]),
        ("gateway", "durable", ["EVAL", "return redis.call('LRANGE', KEYS[1], 0, -1)", "1", "qscore:q:bulk"]),
        ("connector", "durable", ["LPUSH", "qscore:d:deliver", "forged"]),
        ("connector", "durable", ["EVAL", "return redis.call('LPUSH', KEYS[1], 'forged')", "1", "qscore:d:deliver"]),
        ("deliver", "durable", ["BRPOP", "qscore:q:bulk", "1"]),
        ("deliver", "durable", ["GET", "qscore:body:1"]),
        ("deliver", "durable", ["LPUSH", "qscore:q:bulk", "forged"]),
        ("deliver", "fast", ["PING"]),
        ("connector", "durable", ["GET", "qscore:rows:batch:0"]),
        ("connector", "durable", ["BLPOP", "qscore:reply:1", "1"]),
        ("gateway", "durable", ["LPOP", "qscore:ack:elastic:site"]),
        ("gateway", "durable", ["HGETALL", "qscore:d:unacked"]),
        ("connector", "fast", ["PING"]),
        ("operator", "durable", ["LPUSH", "qscore:q:bulk", "forged"]),
        ("operator", "durable", ["HGETALL", "qscore:q:unacked"]),
        ("operator", "fast", ["EVAL", "return redis.call('GET', KEYS[1])", "1", "qscore:token:1"]),
        *(
            (user, "durable", command)
            for user in ("gateway", "worker", "deliver", "connector", "operator")
            for command in (["KEYS", "*"], ["FLUSHALL"], ["CONFIG", "GET", "*"], ["ACL", "LIST"], ["SHUTDOWN"])
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_and_no_more(site: Site, user: str, server: str, command: list[str]) -> None:
    with (
        redis.Redis.from_url(
            site.url(user, "durable").replace(str(site.ports["durable"]), str(site.ports[server])),
            ssl_ca_certs=str(site.folder / "queue_ca.pem"),
        ) as client,
        # In a script the server says: "The user executing the script can't run this command".
        pytest.raises(
            redis.exceptions.RedisError,
            match=r"no permissions|No permissions|user executing|username-password",
        ),
    ):
        client.execute_command(*command)


USERS = ("gateway", "worker", "deliver", "connector", "operator", "probe")
#: Server and command on each kind of key there, and the users who may: nobody else.
RIGHTS = [
    ("fast", "LPUSH qscore:i:interactive x", "gateway worker"),
    ("fast", "LRANGE qscore:i:interactive 0 -1", ""),
    ("fast", "RPOP qscore:i:interactive", "worker"),
    ("fast", "LLEN qscore:i:interactive", "gateway worker operator"),
    ("fast", "HSET qscore:i:unacked 1 x", "worker"),
    ("fast", "HLEN qscore:i:unacked", "gateway operator"),
    ("fast", "SET qscore:body:1 x", "gateway worker"),
    ("fast", "GET qscore:body:1", "worker"),
    ("fast", "RPUSH qscore:reply:1 x", "worker"),
    ("fast", "BLPOP qscore:reply:1 1", "gateway"),
    ("fast", "ZADD qscore:workers:score 1 x", "worker"),
    ("fast", "SET qscore:token:1 x", "gateway"),
    ("fast", "GET qscore:token:1", "gateway"),
    ("fast", "UNLINK qscore:token:1", "gateway operator"),
    ("fast", "SET qscore:probe 1", "gateway operator"),
    ("fast", "GET qscore:rows:1", ""),
    ("fast", "GET qscore:switches", ""),
    ("durable", "LPUSH qscore:q:bulk x", "gateway worker connector"),
    ("durable", "LRANGE qscore:q:bulk 0 -1", ""),
    ("durable", "RPOP qscore:q:bulk", "worker"),
    ("durable", "LLEN qscore:q:bulk", "gateway worker deliver connector operator"),
    ("durable", "LPUSH qscore:x:qpu x", "gateway worker connector"),
    ("durable", "RPOP qscore:x:qpu", "worker"),
    ("durable", "HSET qscore:q:unacked 1 x", "worker"),
    ("durable", "HGETALL qscore:q:unacked", ""),
    ("durable", "HLEN qscore:q:unacked", "gateway operator"),
    ("durable", "LPUSH qscore:d:deliver x", "worker deliver"),
    ("durable", "RPOP qscore:d:deliver", "deliver"),
    ("durable", "LLEN qscore:d:deliver", "gateway worker deliver connector operator"),
    ("durable", "HLEN qscore:d:unacked", "gateway operator"),
    ("durable", "SET qscore:body:1 x", "gateway worker connector"),
    ("durable", "GET qscore:body:1", "worker"),
    ("durable", "RPUSH qscore:reply:1 x", "worker"),
    ("durable", "BLPOP qscore:reply:1 1", "gateway"),
    ("durable", "SET qscore:rows:1 x", "worker deliver"),
    ("durable", "GET qscore:rows:1", "deliver"),
    ("durable", "HSET qscore:settled:1 1 x", "deliver"),
    ("durable", "RPUSH qscore:ack:me x", "gateway worker deliver"),
    ("durable", "LPOP qscore:ack:me", "connector"),
    ("durable", "GET qscore:epoch:s", "worker deliver connector"),
    ("durable", "SET qscore:epoch:s 1", "connector"),
    ("durable", "SET qscore:switches x", "gateway worker connector operator"),
    ("durable", "ZADD qscore:workers:deliver 1 x", "worker deliver"),
    ("durable", "ZADD qscore:workers:bulk 1 x", "worker"),
    ("durable", "GET qscore:token:1", ""),
]


@pytest.mark.parametrize(("server", "command", "users"), RIGHTS, ids=[" ".join(row[:2]) for row in RIGHTS])
def test_each_key_is_for_those_whose_work_needs_it(site: Site, server: str, command: str, users: str) -> None:
    with site.admin(server) as admin:
        known: Any = admin.acl_users()
        told = {user: admin.acl_dryrun(user, *command.split()) for user in USERS if user in known}
    assert {user for user, word in told.items() if word in (b"OK", "OK")} == set(users.split())


@pytest.mark.parametrize("server", SERVERS)
def test_nobody_without_a_password_and_nothing_without_tls(site: Site, server: str) -> None:
    ca = str(site.folder / "queue_ca.pem")
    once = Retry(NoBackoff(), 0)
    stranger = redis.Redis("localhost", site.ports[server], ssl=True, ssl_ca_certs=ca, retry=once)
    plain = redis.Redis("localhost", site.ports[server], retry=once)
    with stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()
    with plain, pytest.raises(redis.exceptions.ConnectionError):
        plain.ping()


def test_the_server_of_searches_has_left_nothing_on_the_disk(site: Site) -> None:
    assert list((site.folder / "fast").iterdir()) == []
    assert list((site.folder / "durable").iterdir()) != []
