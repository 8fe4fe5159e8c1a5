"""What a sink is sent, one text a row, and how it is cut into requests of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Lines:
    """``texts``: an Arrow array of strings, one for each row, its line ends included."""

    texts: Any

    @classmethod
    def of(cls, parts: Iterable[Any]) -> Lines:
        """Put the texts of several blocks one after the other."""
        found = list(parts)
        return cls(pa.concat_arrays(found) if len(found) > 1 else found[0] if found else pa.array([], pa.string()))

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, some: slice) -> Lines:
        """Cut out the texts of a slice without a step."""
        start, stop, _ = some.indices(len(self))
        return Lines(self.texts.slice(start, stop - start))

    def body(self) -> bytes:
        """Join the texts, end to end, in UTF-8."""
        if not len(self):
            return b""
        first, last = int(self._ends[0]), int(self._ends[-1])
        found: bytes = self.texts.buffers()[2].slice(first, last - first).to_pybytes()
        return found

    def within(self, limit: int) -> Iterator[tuple[int, int]]:
        """Cut into half-open ranges whose texts together stay within ``limit`` bytes; a larger text stands alone."""
        start = 0
        while start < len(self):
            fits = int(np.searchsorted(self._ends, self._ends[start] + limit, "right")) - 1
            end = max(start + 1, fits)
            yield start, end
            start = end

    @cached_property
    def _ends(self) -> NDArray[np.int32]:
        """Positions among the bytes at which each text begins, and the last one ends."""
        texts = self.texts
        return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
