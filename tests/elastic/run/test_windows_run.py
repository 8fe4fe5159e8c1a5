"""`qscore elastic run` with a model whose rows are windows: once each, and again when a document comes late."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from demo.elastic_documents import MAPPINGS
from demo.elastic_setup import write_runtime_key
from tests.elastic.stage import SOURCE, Stage, logon, open_stage

T0 = 1_699_990_200.0  # the start of a window


def revisions(stage: Stage) -> dict[tuple[str, ...], list[int]]:
    """Window and keys -> its revisions, ascending."""
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for hit in stage.written():
        document = hit["_source"]
        assert document["event"]["kind"] == "enrichment", document
        key = (
            document["@timestamp"],
            document["user"]["name"],
            document["source"]["address"],
            document["destination"]["address"],
        )
        found[key].append(document["qscore"]["revision"])
    return {key: sorted(values) for key, values in found.items()}


def run_once(stage: Stage) -> str:
    done = stage.qscore("elastic", "run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_windows_are_scored_once_and_again_when_something_comes_late(
    elasticsearch: Any, namespace: str, tmp_path: Path
) -> None:
    with open_stage(tmp_path, elasticsearch, namespace, "window") as stage:
        stage.load(logon(T0 + 30 * n, n) for n in range(80))
        run_once(stage)
        first = revisions(stage)
        assert len(first) > 30
        assert all(len(values) == 1 for values in first.values())
        run_once(stage)  # another process, which remembers nothing
        assert revisions(stage) == first
        stage.admin.indices.rollover(alias=stage.scores)
        stage.load([logon(T0 + 30, 1)])
        run_once(stage)
        second = revisions(stage)
        changed = {key for key in second if second[key] != first.get(key)}
        assert {key[0] for key in changed} == {"2023-11-14T19:30:00.000Z"}
        assert ("2023-11-14T19:30:00.000Z", "user1", "10.0.0.1", "SRV1") in changed
        assert all(second[key][:-1] == first[key] for key in changed)
        assert len(second) == len(first)


def test_two_sources_with_equal_windows_have_a_score_each(elasticsearch: Any, namespace: str, tmp_path: Path) -> None:
    """Two sites behind one namespace of private addresses: same keys, same time, same number of documents."""
    with open_stage(tmp_path, elasticsearch, namespace, "window") as stage:
        other = f"{stage.index}-b"
        stage.admin.indices.create(index=other, mappings=MAPPINGS)
        settings = (stage.home / "qscore.toml").read_text()
        first = settings[settings.index("[[elastic.sources]]") :]
        second = first.replace(f'"{SOURCE}"', '"site-b"').replace(f'"{stage.index}"', f'"{other}"')
        (stage.home / "qscore.toml").write_text(settings + second)
        documents = [logon(T0 + 30 * n, n) for n in range(20)]
        stage.load(documents)
        replace(stage, index=other).load(documents)
        write_runtime_key(stage.admin, f"stage-{namespace}", [f"{stage.index}*"], stage.home / "key")
        run_once(stage)
        found = revisions(stage)
        assert len(found) > 10
        assert all(len(values) == 2 for values in found.values())
        assert len({hit["_id"] for hit in stage.written()}) == 2 * len(found)
        run_once(stage)
        assert revisions(stage) == found
        stage.admin.indices.delete(index=other)
