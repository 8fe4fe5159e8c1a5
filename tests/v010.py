"""What version 0.1.0 (commit 53776b9) left behind, and how tests put it before the present program.

The files under tests/fixtures/v010 were made by 0.1.0 (see make.py there) and are never made anew. Tests go through
doors that outlast a move of modules: commands, the queue's own lists, HTTP.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.elastic_client.servers import Canned, scripted_server

FOLDER = Path(__file__).parent / "fixtures" / "v010"
#: The secret of a key in the fixture's api_keys.json: a test key that opens nothing else.
API_KEY = "qsk_yiwN432jaMZm35_PZzhlzPKTQwz6CW80RCCAgx_NNAc"
QSCORE = (sys.executable, "-m", "scorer.cli.main")


def content(name: str) -> Any:
    """A JSON file of the fixtures."""
    return json.loads((FOLDER / name).read_text())


def lines(name: str) -> list[Any]:
    """A file of the fixtures with one JSON value a line."""
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def make_home(home: Path) -> Path:
    """A home folder with what 0.1.0 kept there: models, trusted keys, API keys, dead letters."""
    home.mkdir(mode=0o700)
    for name in ("registry", "trusted_keys"):
        shutil.copytree(FOLDER / name, home / name)
    for name in ("api_keys.json", "dead_letters.sqlite"):
        shutil.copyfile(FOLDER / name, home / name)
        (home / name).chmod(0o600)  # the mode in which 0.1.0 writes them; git keeps none
    return home


def secret_file(path: Path, text: str) -> Path:
    """A file that its owner alone may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def qscore(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a `qscore` command to its end."""
    environment = os.environ | {"QSCORE_HOME": str(home), "COLUMNS": "200"} | variables
    return subprocess.run(
        [*QSCORE, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@dataclass
class Cluster:
    """A scripted Elasticsearch with one backing index of scores in the namespace prod. ``documents``: what was created
    there, each with its id. Its clock stands where that of the fixtures stood."""

    url: str = ""
    documents: list[dict[str, Any]] = field(default_factory=list)
    _index: str = ".ds-logs-qscore.scores-prod-1"

    def of_batch(self, batch_id: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["_source"]["qscore"]["job"]["id"] == batch_id]

    def answer(self, _method: str, path: str, body: bytes) -> Canned:
        if path.startswith("/_tasks"):
            return Canned(200, {"tasks": []})
        if path.startswith("/_cat/health"):
            return Canned(200, [{"epoch": "1790000000"}])
        if "_bulk" in path:
            return self._bulk([json.loads(line) for line in body.splitlines()])
        if "_mget" in path:
            ids = json.loads(body)["ids"]
            return Canned(200, {"docs": [{"_index": self._index, "_id": one, "found": False} for one in ids]})
        if "_mapping" in path:
            mark = {"qscore.model.version": {"mapping": {"version": {"type": "keyword"}}}}
            return Canned(200, {self._index: {"mappings": mark}})
        return Canned(200, {self._index: {"settings": {"index.creation_date": "1700000000000"}}})

    def _bulk(self, parts: list[Any]) -> Canned:
        ids = [action["create"]["_id"] for action in parts[::2]]
        self.documents += [{"_id": one, "_source": source} for one, source in zip(ids, parts[1::2], strict=True)]
        return Canned(200, {"errors": False, "items": [{"create": {"_id": one, "status": 201}} for one in ids]})


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster for the body of a ``with``."""
    made = Cluster()
    with scripted_server(made.answer) as url:
        made.url = url
        yield made


def without(documents: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Documents less the fields of these dotted names, which say when a run was."""
    made: list[dict[str, Any]] = json.loads(json.dumps(documents))
    for document in made:
        for name in names:
            *outer, last = name.split(".")
            node = document["_source"]
            for part in outer:
                node = node[part]
            del node[last]
    return made


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two JSON values differ by more than the last digit of a score."""
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(set(found) | set(expected))
        return [d for name in names for d in differences(found.get(name), expected.get(name), f"{where}.{name}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [d for at, (one, other) in pairs for d in differences(one, other, f"{where}[{at}]")]
    return [] if found == expected or _near(found, expected) else [f"{where}: {found!r}, was {expected!r}"]


def _near(found: Any, expected: Any) -> bool:
    """Numbers, or texts of them, that are equal but for rounding on another machine."""
    if type(found) is not type(expected) or isinstance(found, bool):
        return False
    try:
        return abs(float(found) - float(expected)) < 2e-4
    except (TypeError, ValueError):
        return False
