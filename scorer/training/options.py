"""What the one who trains may choose."""

from __future__ import annotations

from dataclasses import dataclass

#: Rows that the kernel machines are fitted on at most: their cost grows with the square of their rows.
FIT_ROWS = 2000


@dataclass(frozen=True)
class TrainOptions:
    """``qubits``: features at most. ``fpr``: false-positive rate of the default line. ``prevalence``: share of attacks
    where the model will run; None: that of the rows. ``without``: features or groups of them to leave out
    (``port_class``). ``fit_rows``: rows that the kernel machines are fitted on at most, None: FIT_ROWS; the twin's
    scoring time grows with it, the quantum model's does not. ``note``: free text for the card.
    """

    qubits: int = 6
    fpr: float = 0.01
    prevalence: float | None = None
    seed: int = 0
    without: tuple[str, ...] = ()
    note: str = ""
    fit_rows: int | None = None

    @property
    def most_rows(self) -> int:
        return FIT_ROWS if self.fit_rows is None else self.fit_rows


DEFAULTS = TrainOptions()
