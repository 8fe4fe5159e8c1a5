"""The gateway's OpenAPI description says what the gateway serves: every route, header, option, status and answer."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from werkzeug.test import TestResponse

from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.contract.document import openapi
from scorer.service.gateway.contract.operations import OPERATIONS
from scorer.service.settings import load_settings
from scorer.wire import names
from scorer.wire.errors import QScoreError
from scorer.wire.options import ScoreOptions


@pytest.fixture
def app(tmp_path: Path, publish_tiny: Callable[[Path], None], application: Callable[..., Flask]) -> Flask:
    publish_tiny(tmp_path)
    made: Flask = application(load_settings(home=tmp_path))
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def reader(tmp_path: Path) -> str:
    return KeyFile(load_settings(home=tmp_path).api_keys).add(["read"])[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def kinds(error: type[QScoreError]) -> list[type[QScoreError]]:
    return [error, *(kind for sub in error.__subclasses__() for kind in kinds(sub))]


def test_it_is_an_openapi_document() -> None:
    validate(openapi())


def test_it_lists_every_route_and_no_other(app: Flask) -> None:
    served = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), rule.endpoint)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {(operation.method, operation.path, operation.endpoint) for operation in OPERATIONS}


def test_scoring_names_every_header_and_option() -> None:
    (score,) = (operation for operation in OPERATIONS if operation.endpoint == "score")
    headers = {value for name, value in vars(names).items() if name.startswith("HEADER_")}
    said = {part.name for part in score.parameters if part.where == "header"} | set(score.answer.headers)
    assert said == headers
    assert {part.name for part in score.parameters if part.where == "query"} == set(ScoreOptions.__dataclass_fields__)
    media = {value for name, value in vars(names).items() if name.startswith("MEDIA_")} - {names.MEDIA_PROBLEM}
    assert set(score.body) == media


def test_every_status_that_an_error_can_have_is_described() -> None:
    statuses = {kind.status for kind in kinds(QScoreError)}
    assert statuses <= {status for operation in OPERATIONS for status in operation.statuses}


@pytest.mark.parametrize("operation", [op for op in OPERATIONS if op.scope], ids=lambda op: op.endpoint)
def test_what_needs_a_key_says_so_and_refuses_without_one(client: FlaskClient, operation: Any) -> None:
    path = operation.path.replace("{name}", "lateral")
    answer: TestResponse = client.open(path, method=operation.method.upper())
    assert answer.status_code == 401
    assert answer.content_type == names.MEDIA_PROBLEM
    described = openapi()["paths"][operation.path][operation.method]
    assert described["security"]
    assert "401" in described["responses"]


def test_the_description_is_served_to_keys_that_may_read(client: FlaskClient, tmp_path: Path, reader: str) -> None:
    scorer = KeyFile(load_settings(home=tmp_path).api_keys).add(["score"])[1]
    assert client.get("/v1/openapi.json", headers=bearer(scorer)).status_code == 403
    assert client.get("/v1/openapi.json", headers=bearer(reader)).json == openapi()


def test_a_browser_is_asked_for_a_key_and_gets_a_page_that_needs_nobody_else(client: FlaskClient, reader: str) -> None:
    asked = client.get("/docs")
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert client.get("/docs", headers=basic("qsk_wrong")).status_code == 401
    page = client.get("/docs", headers=basic(reader))
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) >= 3
    for name in [*files, "docs/openapi.json"]:
        with client.get(f"/{name}", headers=basic(reader)) as served:
            assert served.status_code == 200, name
        assert client.get(f"/{name}").status_code == 401, name


@pytest.mark.parametrize("name", ["../__init__.py", "%2e%2e/__init__.py", "nothing.js", "/etc/passwd", "js"])
def test_no_other_file_is_served(client: FlaskClient, reader: str, name: str) -> None:
    assert client.get(f"/docs/{name}", headers=basic(reader)).status_code in (404, 308)


def test_a_wrong_method_is_told_which_are_right(client: FlaskClient) -> None:
    answer = client.delete("/healthz")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
