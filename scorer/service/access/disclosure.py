"""What a caller is told of a fault on this side: everything but where files lie."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path

from scorer.logs import get_log
from scorer.service.settings import Settings
from scorer.wire.errors import ArtifactRejected, ConfigurationError, QScoreError

#: An absolute path in a sentence; what follows on a host's name or on a word (text/csv) is none.
_PATH = re.compile(r"(?<![\w<>./:@%+-])~?/(?:[^\s/'\"`(),;<>]+/?)+")


def roots_of(settings: Settings) -> dict[str, str]:
    """Name the folders of this side: path to the word that stands for it."""
    return {
        str(settings.home): "<home>",
        str(settings.registry): "<registry>",
        str(settings.trusted_keys): "<trusted_keys>",
    }


def disclosed(error: QScoreError, roots: Mapping[str, str]) -> QScoreError:
    """Make the error that a caller may see of one: a fault of this side names no path. The log has the whole text."""
    if error.status < 500 and not isinstance(error, ArtifactRejected | ConfigurationError):
        return error
    detail, remedy = (without_paths(text, roots) for text in (error.detail, error.remedy))
    if (detail, remedy) == (error.detail, error.remedy):
        return error
    get_log().error("fault", code=error.code, reason=error.sentence())
    shown = copy.copy(error)
    shown.detail, shown.remedy = detail, remedy
    return shown


def without_paths(text: str, roots: Mapping[str, str]) -> str:
    """Put the word for each known folder in its place, and <path> in that of every other absolute path."""
    spelled = {spelling: word for root, word in roots.items() for spelling in {root, str(Path(root).resolve())}}
    for root in sorted(spelled, key=len, reverse=True):
        if root != "/":
            text = text.replace(root, spelled[root])
    return _PATH.sub("<path>", text)
