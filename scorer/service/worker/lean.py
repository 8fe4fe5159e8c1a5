"""What a worker must not load, kept out before anything else is imported."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Finds no pandas, wherever it is installed. A None in ``sys.modules`` is not enough for Arrow's compiled code."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("workers load no pandas", name=fullname)


def keep_pandas_out() -> None:
    """Let this process find no pandas.

    Where it is installed, Arrow imports it with its first scalar or array: half a second and 40 MB in each process.
    """
    sys.meta_path.insert(0, _NoPandas())
