"""From a notebook to a model that can be signed: fitted machines as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scorer.training.qsvc.file import write_qsvc


def write_machine(
    path: str | Path, classifier: Any, *, features: Sequence[str], X: Any, y: Any, positive: Any = None
) -> None:
    """Write a fitted classifier for `qscore import-qsvc`, which calibrates, judges and signs it.

    ``classifier``: a ``QuantumKernelClassifier`` of two classes, or a search or pipeline that ends in one.
    ``features``: the recipe's names of the columns of ``X``. ``X``: (N, n) and ``y``: (N,), the rows that it was
    fitted on. ``positive``: the label of malicious rows; None: the one that sorts second. The file is JSON; nothing in
    it runs when it is read. Raises ImportRefused, a ValueError, for other rows, other machines and more classes.
    """
    write_qsvc(path, classifier, features=features, values=X, inputs=X, labels=y, positive=positive)
