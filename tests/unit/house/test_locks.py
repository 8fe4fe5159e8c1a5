"""What is installed is what was locked: each distribution by its exact version and its digests, from nowhere else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
_PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[0-9][0-9A-Za-z.!+_-]*( ; [^;]+)? \\\Z")
_DIGEST = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?\Z")
_COMMENT = re.compile(r" *#")
#: Places in which something is installed.
INSTALLERS = ("Makefile", "packaging/docker/Dockerfile")


def faults(lock: str) -> list[str]:
    """Lines of a lock that are neither a pinned distribution, nor one of its digests, nor a comment; and those of
    distributions that have no digest."""
    wrong, pinned = [], ""
    for line in [*lock.splitlines(), "end==0 \\"]:
        if _COMMENT.match(line) or not line:
            continue
        if _DIGEST.match(line):
            pinned = ""
        elif _PINNED.match(line):
            wrong += [pinned] if pinned else []
            pinned = line
        else:
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_distribution_is_pinned_and_has_its_digests(lock: Path) -> None:
    text = lock.read_text("utf-8")
    assert text.count("==") > 0
    assert faults(text) == []


GOOD = "amqp==5.4.2 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via kombu\n"


@pytest.mark.parametrize(
    "line",
    [
        "amqp==5.4.2",
        "amqp>=5 \\",
        "amqp @ https://elsewhere.example/amqp.whl \\",
        "git+https://elsewhere.example/amqp",
        "-e .",
        "--extra-index-url elsewhere",
        "--trusted-host elsewhere.example",
        "--no-binary :all:",
        "-r other.txt",
        "amqp==5.4.2 \\\n    --hash=md5:" + "a" * 32,
        "amqp==5.4.2 \\\n    # no digest",
    ],
)
def test_another_line_would_be_seen(line: str) -> None:
    assert faults(GOOD) == []
    assert faults(GOOD + line + "\n" + GOOD)


def test_what_the_product_needs_is_in_the_lock_that_it_is_installed_from() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["elastic"]]
    lock = (REPOSITORY / "requirements" / "run.txt").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", lock, re.MULTILINE))
    names = {re.split(r"[\[<>=!~ ]", one)[0].lower() for one in needed}
    assert names <= locked


@pytest.mark.parametrize("place", INSTALLERS)
def test_nothing_is_installed_but_by_its_digests(place: str) -> None:
    text = (REPOSITORY / place).read_text("utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip install .*|\"install\", .*", text)
    assert installs
    for install in installs:
        # What is built here brings no dependency with it.
        assert "--require-hashes" in install or "--no-deps" in install, install
