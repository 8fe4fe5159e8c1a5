"""Whoever puts a message on the queue goes through ``scorer.service.queue.submit``; no other module pushes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3]
ROOMS = ("scorer", "splunk_app", "elastic_connector", "demo")
#: Ways of Celery and redis-py to put a message on a list that workers take from. kombu is kept away by a contract.
PUSHING = {"send_task", "apply_async", "delay", "lpush", "lpushx", "linsert", "lmove", "rpoplpush"}
#: Pushes replies and outcomes to lists that callers take from; LPUSH is what the queue's lists take. The transport
#: gives back by it what a lost worker had taken.
ANSWERING = {"rpush", "rpushx"}


def pushes(source: str, names: set[str]) -> Iterator[str]:
    """Calls of methods of these names, and texts for the server that name them as commands."""
    commands = {name.upper() for name in names}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in names:
            yield f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.Constant) and node.value in commands:
            yield f"line {node.lineno}: {node.value}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "redis.call" in node.value:
            yield from (f"line {node.lineno}: {name}" for name in names if f"'{name}'" in node.value.lower())


def modules_with(names: set[str]) -> set[str]:
    files = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
    assert len(files) > 250
    return {
        path.relative_to(PACKAGE).as_posix() for path in files if any(pushes(path.read_text(encoding="utf-8"), names))
    }


def test_only_submit_puts_messages_on_the_queue() -> None:
    assert modules_with(PUSHING) == {"scorer/service/queue/submit.py"}


def test_only_the_exchange_answers() -> None:
    assert modules_with(ANSWERING) == {"scorer/service/queue/exchange.py", "scorer/service/queue/transport.py"}


@pytest.mark.parametrize(
    "line",
    [
        "app.send_task('qscore.score')",
        "client.pipeline().lpush(key, message)",
        "task.apply_async(kwargs=job)",
        "task.delay()",
        "put = client.lpush",
        "in_one_step(client, ('LPUSH', key, message))",
        "client.eval(\"redis.call('LPUSH', KEYS[1], ARGV[1])\", 1, key, message)",
    ],
)
def test_every_way_around_is_seen(line: str) -> None:
    assert list(pushes(line, PUSHING))
