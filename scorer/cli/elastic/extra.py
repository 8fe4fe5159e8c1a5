"""The package `elasticsearch` is an extra: the sentence that says so where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scorer.wire.errors import ConfigurationError

_PACKAGES = ("elasticsearch", "elastic_transport", "orjson", "urllib3")


@contextmanager
def elastic_extra() -> Iterator[None]:
    """Turn a missing package into one sentence; wrap the imports of `elastic_connector` in it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        raise ConfigurationError(
            f"`qscore elastic` needs the package {error.name}, which is not installed",
            "Install it with: pip install 'qscore[elastic]'",
        ) from None
