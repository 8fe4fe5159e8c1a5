"""The package `elasticsearch` is an extra: the sentence that says so where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scorer.wire.errors import ConfigurationError

_PACKAGES = ("elasticsearch", "elastic_transport", "orjson", "urllib3")


@contextmanager
def elastic_extra(who: str = "`qscore elastic`") -> Iterator[None]:
    """Turn a missing package into one sentence; ``who`` needs it, and makes its imports inside.

    Raises ConfigurationError that says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _PACKAGES:
            raise
        raise ConfigurationError(
            f"{who} needs the package {package}, which is not installed",
            "Install it with: pip install 'qscore[elastic]'",
        ) from None
