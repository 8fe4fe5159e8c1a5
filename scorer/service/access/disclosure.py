"""What a caller is told of a fault on this side: everything but where files lie."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from scorer.service.settings import Settings
from scorer.wire.errors import ArtifactRejected, ConfigurationError, Problem, QScoreError

#: An absolute path in a sentence; what follows on a host's name or on a word (text/csv) is none.
_PATH = re.compile(r"(?<![\w<>./:@%+-])~?/(?:[^\s/'\"`(),;<>]+/?)+")


def roots_of(settings: Settings) -> dict[str, str]:
    """Name the folders of this side: path to the word that stands for it."""
    return {
        str(settings.home): "<home>",
        str(settings.registry): "<registry>",
        str(settings.trusted_keys): "<trusted_keys>",
    }


def public_problem(error: QScoreError, roots: Mapping[str, str]) -> Problem:
    """Write an error as a caller may see it: a fault of this side names no path. The whole text belongs in the log."""
    problem = Problem.of(error)
    if error.status < 500 and not isinstance(error, ArtifactRejected | ConfigurationError):
        return problem
    detail, remedy = (without_paths(text, roots) for text in (problem.detail, problem.remedy))
    return dataclasses.replace(problem, detail=detail, remedy=remedy)


def without_paths(text: str, roots: Mapping[str, str]) -> str:
    """Put the word for each known folder in its place, and <path> in that of every other absolute path."""
    spelled = {spelling: word for root, word in roots.items() for spelling in {root, str(Path(root).resolve())}}
    for root in sorted(spelled, key=len, reverse=True):
        if root != "/":
            text = text.replace(root, spelled[root])
    return _PATH.sub("<path>", text)
