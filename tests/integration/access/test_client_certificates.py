"""Callers with client certificates, at a real gateway that requires them."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile, Terms
from scorer.service.access.door.certificates import check_name
from scorer.service.gateway.entrance.client_certificates import ask_for_certificates
from scorer.service.settings import GatewaySettings
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.errors import ConfigurationError, Forbidden, Unauthorised, Unreachable
from tests.integration.stack_tools import body, eventually, qscore, settings_of


class Certified(NamedTuple):
    home: Path
    state: StackState
    folder: Path
    authority: trustme.CA
    variables: dict[str, str]

    def certificate(self, name: str, authority: trustme.CA | None = None) -> str:
        """A PEM file with a certificate for ``name`` and its key."""
        path = self.folder / f"{name}.pem"
        (authority or self.authority).issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    def client(self, certificate: str | None, key: str = "") -> GatewayClient:
        return GatewayClient(self.state.url, key, self.state.ca_file, certificate=certificate)

    @property
    def keys(self) -> KeyFile:
        return KeyFile(settings_of(self.home).api_keys)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("certified")
    home, authority, ca = folder / "home", trustme.CA(), folder / "callers.pem"
    publish_tiny(home)
    authority.cert_pem.write_to_path(str(ca))
    variables = {"QSCORE_GATEWAY__CLIENT_CA": str(ca), "QSCORE_GATEWAY__CLIENT_CERTIFICATES": "required"}
    with running_stack(home, "--port", "0", "--workers", "1", environment=variables) as state:
        yield Certified(home, state, folder, authority, variables)


def test_a_certificate_opens_what_its_line_says_until_that_is_revoked(stack: Certified) -> None:
    line = stack.keys.add(["score"], terms=Terms(certificate=check_name("dns:search-1.example")))[0]
    with stack.client(stack.certificate("search-1.example")) as known:
        assert known.score("lateral", body(3), 3).scored == 3
        with pytest.raises(Forbidden, match=f"the certificate of key {line.id} may not list models"):
            known.card("lateral")
        with pytest.raises(Forbidden):
            known.score("lateral", body(1), 1, submitter="other:x")
        stack.keys.revoke(line.id)
        with pytest.raises(Unauthorised, match="no key stands for this client certificate"):
            known.score("lateral", body(3), 3)


def test_a_certificate_is_exchanged_for_a_token_and_both_stand_in_the_log(stack: Certified) -> None:
    line = stack.keys.add(["read", "score"], terms=Terms(certificate=check_name("dns:search-2.example")))[0]
    file = stack.certificate("search-2.example")
    context = ssl.create_default_context(cafile=stack.state.ca_file)
    context.load_cert_chain(file)
    connection = http.client.HTTPSConnection(stack.state.url.removeprefix("https://"), timeout=30, context=context)
    connection.request("POST", "/v1/token", b'{"scopes": ["score"]}', {"Content-Type": "application/json"})
    said = json.loads(connection.getresponse().read())
    connection.request("POST", "/v1/token", b"x" * 9000)
    refused = connection.getresponse()
    assert (refused.status, json.loads(refused.read())["code"]) == (413, "body_too_large")
    connection.close()
    connection.request("PUT", "/v1/token", b"{}")
    wrong = connection.getresponse()
    assert (wrong.status, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
    connection.close()
    with stack.client(file, said["access_token"]) as holder:
        assert holder.score("lateral", body(2), 2, batch_id="token-batch-1").scored == 2
        with pytest.raises(Forbidden):
            holder.card("lateral")
        stack.keys.revoke(line.id)
        with pytest.raises(Unauthorised):
            holder.score("lateral", body(2), 2, batch_id="token-batch-2")
    log = stack.home / "logs" / "gateway.log"
    assert eventually(lambda: "token-batch-1" in log.read_text())
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    found = [
        (entry["endpoint"], entry["how"], entry["scope"], entry["decision"], entry["status"])
        for entry in lines
        if entry["event"] == "request" and entry["key_id"] == line.id
    ]
    assert found == [
        ("token", "certificate", "token", "served", 200),
        ("score", "token", "score", "served", 200),
        ("model", "token", "read", "refused", 403),
    ]
    assert said["access_token"] not in log.read_text()


def test_what_the_gate_refuses_has_its_line(stack: Certified) -> None:
    key, secret = stack.keys.add(["score"], terms=Terms(models=("lateral_flow",)))
    with stack.client(stack.certificate("nobody.example"), secret) as bound, pytest.raises(Forbidden):
        bound.score("lateral", body(2), 2, batch_id="refused-batch-1")
    log = stack.home / "logs" / "gateway.log"
    assert eventually(lambda: key.id in log.read_text())
    (line,) = (json.loads(text) for text in log.read_text().splitlines() if key.id in text)
    about = {name: line[name] for name in ("address", "decision", "status", "model", "rows", "batch_id", "scope")}
    assert about == {
        "address": "127.0.0.1",
        "decision": "refused",
        "status": 403,
        "model": "lateral",
        "rows": 2,
        "batch_id": "refused-batch-1",
        "scope": "score",
    }


def test_a_key_counts_before_the_certificate(stack: Certified) -> None:
    secret = stack.keys.add(["read"])[1]
    with stack.client(stack.certificate("nobody.example"), secret) as reader:
        assert reader.card("lateral").name == "lateral"
    with stack.client(stack.certificate("nobody.example")) as nobody, pytest.raises(Unauthorised):
        nobody.card("lateral")


def test_without_a_certificate_of_the_authority_nobody_gets_in(stack: Certified) -> None:
    secret = stack.keys.add(["read"])[1]
    stranger = stack.certificate("stranger.example", trustme.CA())
    servers = str(stack.home / "tls" / "server.pem")
    both = stack.folder / "server_as_client.pem"
    both.write_text(Path(servers).read_text() + (stack.home / "tls" / "server_key.pem").read_text())
    for certificate in (None, stranger, str(both)):
        with stack.client(certificate, secret) as refused, pytest.raises(Unreachable):
            refused.card("lateral")


def test_the_commands_of_this_machine_have_a_certificate(stack: Certified, tmp_path: Path) -> None:
    status = qscore(stack.home, "status", **stack.variables)
    assert status.returncode == 0, status.stdout + status.stderr
    assert settings_of(stack.home).local_client.stat().st_mode & 0o777 == 0o600


def test_what_callers_are_asked_for(stack: Certified, tmp_path: Path) -> None:
    def asked(**settings: object) -> ssl.VerifyMode:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ask_for_certificates(context, GatewaySettings.model_validate(settings), stack.home / "tls" / "ca.pem")
        return context.verify_mode

    ca = stack.variables["QSCORE_GATEWAY__CLIENT_CA"]
    assert asked() is ssl.CERT_NONE
    assert asked(client_ca=ca) is ssl.CERT_OPTIONAL
    assert asked(client_ca=ca, client_certificates="required") is ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError, match="client_ca is not set"):
        asked(client_certificates="required")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        asked(client_ca=str(tmp_path / "absent.pem"))
