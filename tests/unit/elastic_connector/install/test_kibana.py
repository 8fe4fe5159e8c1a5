"""Kibana's side of an installation, against a strict stand-in for its HTTP interfaces; no Kibana ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from demo.standins.kibana_endpoint import KibanaEndpoint
from elastic_connector.install.changes import differences
from elastic_connector.install.kibana import Kibana, KibanaLogin
from elastic_connector.install.kibana_assets import (
    install_kibana,
    kibana_files,
    kibana_plan,
    uninstall_kibana,
    write_kibana_files,
)
from elastic_connector.install.rules import load_rules, stopped_rule
from scorer.wire.errors import (
    ConfigurationError,
    Forbidden,
    NonsenseReply,
    QScoreError,
    Unauthorised,
    Unavailable,
    Unreachable,
)
from tests.unit.elastic_client.servers import Canned, scripted_server
from tests.unit.wire.trickling_peer import TricklingPeer, json_answer


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(authority, certificate with its key)."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder / "ca.pem", folder / "server.pem"


@pytest.fixture
def endpoint(tls: tuple[Path, Path]) -> Iterator[KibanaEndpoint]:
    with KibanaEndpoint("admin", "password", tls[1]) as running:
        yield running


@pytest.fixture
def kibana(endpoint: KibanaEndpoint, tls: tuple[Path, Path]) -> Iterator[Kibana]:
    client = Kibana(endpoint.url, KibanaLogin("admin", "password"), tls[0], timeout=5)
    yield client
    client.close()


def test_everything_is_installed_seen_and_removed(kibana: Kibana, endpoint: KibanaEndpoint) -> None:
    assert {change.action for change in install_kibana(kibana)} == {"create"}
    assert set(endpoint.objects) == {("index-pattern", "qscore-scores"), ("dashboard", "qscore-overview")}
    assert set(endpoint.rules) == {rule.id for rule in load_rules()}
    assert set(endpoint.alerting) == {stopped_rule().id}
    assert differences(kibana_plan(kibana)) == []
    assert {change.action for change in install_kibana(kibana)} == {"keep"}
    uninstall_kibana(kibana)
    assert (endpoint.objects, endpoint.rules, endpoint.alerting) == ({}, {}, {})
    assert uninstall_kibana(kibana) == []


def test_an_upgrade_leaves_what_users_decided(kibana: Kibana, endpoint: KibanaEndpoint) -> None:
    install_kibana(kibana)
    rule = load_rules()[0]
    exceptions = [{"id": "x", "list_id": "x", "type": "detection", "namespace_type": "single"}]
    endpoint.rules[rule.id] |= {"enabled": True, "exceptions_list": exceptions, "query": "of an older version"}
    endpoint.alerting[stopped_rule().id] |= {"enabled": True, "schedule": {"interval": "9m"}}
    changed = differences(kibana_plan(kibana))
    assert {change.name for change in changed} == {rule.name, stopped_rule().name}
    assert any("of an older version" in line for line in changed[0].lines)
    install_kibana(kibana)
    assert endpoint.rules[rule.id]["query"] == rule.body["query"]
    assert endpoint.rules[rule.id]["enabled"] is True
    assert endpoint.rules[rule.id]["exceptions_list"] == exceptions
    assert endpoint.alerting[stopped_rule().id]["enabled"] is True
    assert differences(kibana_plan(kibana)) == []


def test_a_dry_run_removes_nothing(kibana: Kibana, endpoint: KibanaEndpoint) -> None:
    install_kibana(kibana)
    assert {change.action for change in uninstall_kibana(kibana, dry_run=True)} == {"remove"}
    assert endpoint.rules


def test_suppressed_rules_need_a_licence_and_are_removed_too(kibana: Kibana, endpoint: KibanaEndpoint) -> None:
    with pytest.raises(QScoreError, match="license does not support alert suppression"):
        kibana.import_rules(list(load_rules(suppression=True)))
    endpoint.paid = True
    kibana.import_rules(list(load_rules(suppression=True)))
    uninstall_kibana(kibana)
    assert endpoint.rules == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorised), (403, Forbidden), (429, Unavailable), (503, Unavailable), (500, QScoreError)],
)
def test_what_kibana_refuses_is_one_sentence(
    kibana: Kibana, endpoint: KibanaEndpoint, status: int, kind: type[QScoreError]
) -> None:
    endpoint.failure = status
    with pytest.raises(kind) as refused:
        kibana.version()
    assert refused.value.remedy


def test_a_wrong_password_and_a_server_that_is_no_kibana(endpoint: KibanaEndpoint, tls: tuple[Path, Path]) -> None:
    stranger = Kibana(endpoint.url, KibanaLogin("admin", "wrong"), tls[0], timeout=5)
    with pytest.raises(Unauthorised):
        stranger.version()
    stranger.close()
    elsewhere = Kibana(endpoint.url + "/space", KibanaLogin("admin", "password"), tls[0], timeout=5)
    with pytest.raises(QScoreError, match="Not Found"):
        elsewhere.version()
    elsewhere.close()


def test_a_certificate_of_an_unknown_authority_is_not_accepted(endpoint: KibanaEndpoint) -> None:
    client = Kibana(endpoint.url, KibanaLogin("admin", "password"), timeout=5)
    with pytest.raises(Unreachable, match="certificate"):
        client.version()
    client.close()


@pytest.mark.parametrize(
    "url",
    [
        "kibana:5601",
        "http://kibana.example:5601",
        "https://",
        "https://u:p@kibana",
        "https://k?x=1",
        "https://k/s?x=1",
        "http://127.0.0.1.example:5601",
        "https://k:x",
        "ftp://127.0.0.1",
    ],
)
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Kibana(url, KibanaLogin("admin", "password"))


@pytest.mark.parametrize("answer", [json_answer(b"{}" + b" " * 400), b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 80])
def test_a_kibana_that_never_gets_done_holds_nobody(tls: tuple[Path, Path], answer: bytes) -> None:
    """A timeout of each receive would wait for all of it: in the body, and in the head before it."""
    with TricklingPeer(tls[1], answer) as peer:
        client = Kibana(peer.url, KibanaLogin("admin", "password"), tls[0], timeout=0.5)
        with pytest.raises(Unreachable, match=r"Kibana https://.* did not answer within 0\.5 s"):
            client.version()
        client.close()
    assert not peer.finished


def test_a_kibana_of_this_machine_may_do_without_tls() -> None:
    told = {"version": {"number": "9.1.0"}}
    with scripted_server(lambda *_: Canned(200, told)) as url:
        client = Kibana(url, KibanaLogin("admin", "password"), timeout=5)
        assert client.version() == "9.1.0"
        client.close()


def test_a_space_is_part_of_every_path() -> None:
    asked = []

    def answer(_method: str, path: str, _body: bytes) -> Canned:
        asked.append(path)
        return Canned(200, {"version": {"number": "9.1.0"}})

    with scripted_server(answer) as url:
        client = Kibana(url + "/s/soc/", KibanaLogin("admin", "password"), timeout=5)
        client.version()
        client.close()
    assert asked == ["/s/soc/api/status"]


def test_an_answer_that_is_not_json() -> None:
    with scripted_server(lambda *_: Canned(200, b"<html>starting</html>")) as url:
        client = Kibana(url, KibanaLogin("admin", "password"), timeout=5)
        with pytest.raises(NonsenseReply):
            client.version()
        client.close()


def test_files_for_an_import_by_hand(tmp_path: Path) -> None:
    written = write_kibana_files(tmp_path / "kibana")
    assert {path.name: path.read_bytes() for path in written} == kibana_files()
    assert b"alert_suppression" not in (tmp_path / "kibana" / "qscore_rules.ndjson").read_bytes()
    assert b"alert_suppression" in (tmp_path / "kibana" / "qscore_rules_suppression.ndjson").read_bytes()
