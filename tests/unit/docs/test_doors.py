"""docs/security.md lists every door by which something comes in: routes, listeners, settings that lead elsewhere,
files, variables of the environment. What the code opens and what the page says are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from scorer.service.gateway.contract.operations import OPERATIONS
from scorer.service.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
SHIPPED = ("scorer", "splunk_app", "elastic_connector", "bin")
#: Calls that make a socket which others may reach.
LISTENS = {"bind", "listen", "create_server", "start_server", "make_server", "serve_forever", "sock_accept"}
#: Parts of a setting's name by which it says where something lies that is not on this machine, or where to listen.
ELSEWHERE = re.compile(r"(^|_)(url|host|port|cloud_id|proxy|proxies|issuer|hosts)$")


def listed(heading: str) -> set[str]:
    """The first column of the table under a heading of the page, without its marks; a cell may name several."""
    found = re.search(rf"^### {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/security.md has no section {heading}"
    rows = re.findall(r"^\| (`.+?) \|", found[1], re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert names, f"the table under {heading} is empty"
    return names


def trees() -> Iterator[tuple[str, ast.Module]]:
    for folder in SHIPPED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def listeners() -> set[str]:
    """Modules that open a socket for others, or tell a child to. Loggers and signatures have a bind of their own."""
    found = set()
    for name, tree in trees():
        nodes = list(ast.walk(tree))
        sockets = any(isinstance(node, ast.Import) and node.names[0].name in ("socket", "asyncio") for node in nodes)
        for node in nodes:
            told = isinstance(node, ast.Constant) and node.value == "unixsocket"
            if told or (isinstance(node, ast.Call) and called(node) in LISTENS and (sockets or called(node) != "bind")):
                found.add(name)
    return found


def variables() -> set[str]:
    """Names of variables that the code reads by themselves; settings are read by their prefix."""
    found = {f"{Settings.model_config['env_prefix']}*"}
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("get", "getenv") and node.args:
                owner = node.func.value if isinstance(node.func, ast.Attribute) else None
                if ast.unparse(owner).endswith("environ") if owner is not None else True:
                    found |= constants(node.args[0])
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("os.environ"):
                found |= constants(node.slice)
    return found


def constants(node: ast.expr) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = [part for part in parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        if inner:
            for part in inner:
                yield from settings_of(part, f"{prefix}{name}.")
        else:
            yield prefix + name, field.annotation


def parts(annotation: Any) -> Iterator[Any]:
    """The classes that an annotation is made of."""
    if get_origin(annotation) is None:
        yield annotation
    for part in get_args(annotation):
        if part is not NoneType and part is not Ellipsis and not isinstance(part, str):
            yield from parts(part)


def elsewhere() -> set[str]:
    return {name for name, _ in settings_of(Settings) if ELSEWHERE.search(name.rpartition(".")[2])}


def files() -> set[str]:
    """Settings that name a file or folder, and what lies in the home folder by itself."""
    named = {name for name, annotation in settings_of(Settings) if Path in set(parts(annotation))}
    return named | {name for name, value in vars(Settings).items() if returns_path(value)}


def returns_path(value: object) -> bool:
    annotations: Mapping[str, object] = getattr(getattr(value, "fget", None), "__annotations__", {})
    return annotations.get("return") in (Path, "Path")


DOORS = {
    "Routes": lambda: {f"{operation.method.upper()} {operation.path}" for operation in OPERATIONS},
    "Listeners": listeners,
    "Settings that lead elsewhere": elsewhere,
    "Files and folders": files,
    "Variables": variables,
}


@pytest.mark.parametrize("kind", DOORS)
def test_the_page_lists_the_doors_that_the_code_opens(kind: str) -> None:
    opened = DOORS[kind]()
    assert len(opened) >= 3
    assert listed(kind) == opened


def guards() -> list[str]:
    """The tests that the page names, one a line of its last table."""
    section = re.search(r"^## What stops each\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert section, "docs/security.md has no section What stops each"
    rows = [line for line in section[1].splitlines() if line.startswith("| ")][1:]
    named = [found[1] for row in rows if (found := re.search(r"`(tests/[^`]+)` \|$", row))]
    assert len(named) == len(rows) >= 20, "a line names no test"
    return named


@pytest.mark.parametrize("named", guards())
def test_what_stops_an_attack_has_its_test(named: str) -> None:
    path, _, name = named.partition("::")
    source = (ROOT / path).read_text("utf-8")
    assert f"def {name}(" in source if name else "def test_" in source
