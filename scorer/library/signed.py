"""Signed models in Python: loaded after their signature was verified, and scored in this process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from scorer.library.tables import beside, columns_of
from scorer.models.trained import TrainedModel
from scorer.registry.seen import SeenAliases
from scorer.registry.store import Registry
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.cells import numbers
from scorer.rows.defects import Defect
from scorer.rows.transform import required_inputs
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score as scored
from scorer.wire.card import ModelCard
from scorer.wire.names import OUTPUT_COLUMNS
from scorer.wire.options import ScoreOptions

#: Where `qscore` keeps its registry and trusted keys unless it is told otherwise.
HOME = Path("~/.local/share/qscore")
#: Types of the columns that scoring adds; those that are not named here are text.
_TYPES = {
    "qscore": pa.float64(),
    "qscore_risk": pa.int64(),
    "qscore_alert": pa.int64(),
    "qscore_pvalue": pa.float64(),
    "qscore_classical": pa.float64(),
}


@dataclass(frozen=True, eq=False)
class SignedModel:
    """A model whose signature was verified, with everything that a worker scores with.

    ``version``: the exact one. ``card``: what the registry says of it. ``columns``: the inputs that a row needs.
    """

    version: str
    card: ModelCard
    model: TrainedModel

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def columns(self) -> tuple[str, ...]:
        return required_inputs(self.model.recipe, self.model.feature_names)

    def score(self, rows: Any, *, threshold: float | None = None, explain: str = "alerts") -> Any:
        """Score rows, as the function ``score`` does. Raises BadInput, BadOption."""
        return score(self, rows, threshold=threshold, explain=explain)


def load_model(
    name: str,
    version: str = "live",
    *,
    home: str | Path = HOME,
    registry: str | Path | None = None,
    trusted_keys: str | Path | None = None,
) -> SignedModel:
    """Load a model from a registry after signature, digests, shapes and caps were checked; nothing is unpickled.

    ``version``: a version, ``"live"`` or ``"shadow"``. ``home``: the folder that QSCORE_HOME names for `qscore`; None
    of ``registry`` and ``trusted_keys`` means the folders of these names in it. Raises UnknownModel, ArtifactRejected.
    """
    root = Path(home).expanduser()
    store = Registry(
        Path(registry) if registry else root / "registry",
        Path(trusted_keys) if trusted_keys else root / "trusted_keys",
        SeenAliases(root / "state" / "aliases.json"),
    )
    exact = store.resolve(name, version)
    return SignedModel(exact, store.card(name, exact), store.load(name, exact))


def score(model: SignedModel, rows: Any, *, threshold: float | None = None, explain: str = "alerts") -> Any:
    """Score rows with a signed model: the rows, in order, with the columns of `| qscore` behind their own.

    ``rows``: a pandas DataFrame, a pyarrow Table, or a mapping of column names to arrays; what comes back is of the
    same kind, of a mapping a mapping of NumPy arrays. Columns of an earlier scoring are replaced. ``threshold``:
    probability from which a row alerts; None: the model's own line. ``explain``: rows that get a reason, ``"alerts"``,
    ``"all"`` or ``"none"``. A row that cannot be scored says why in ``qscore_status`` and has no score.

    Numbers are those of the gateway, before they are rounded for a reply. Raises BadInput, BadOption.
    """
    told = {} if threshold is None else {"threshold": str(float(threshold))}
    options = ScoreOptions.parse({"version": model.version, "explain": explain, **told})
    batch = _batch(model, *columns_of(rows, model.columns))
    return beside(rows, _typed(scored(model.model, model.version, batch, options)))


def _batch(model: SignedModel, columns: Mapping[str, Any], rows: int) -> FeatureBatch:
    """Read the model's inputs as a worker reads them."""
    read = {name: numbers(name, column) for name, column in columns.items()}
    defects: dict[int, Defect] = {}
    for found in read.values():
        defects = found.defects | defects  # the first complaint about a row stays
    return FeatureBatch("", model.name, {name: found.values for name, found in read.items()}, {}, range(rows), defects)


def _typed(scores: ScoreBatch) -> pa.Table:
    """The columns of a reply, each of its type, the shares in full."""
    types = {name: _TYPES.get(name, pa.string()) for name in OUTPUT_COLUMNS}
    reply = pacsv.read_csv(io.BytesIO(encode_reply(scores)), convert_options=pacsv.ConvertOptions(column_types=types))
    exact = {"qscore": scores.probability, "qscore_pvalue": scores.pvalue, "qscore_classical": scores.classical}
    for name, values in exact.items():
        reply = reply.set_column(OUTPUT_COLUMNS.index(name), name, pa.array(values, from_pandas=True))
    return reply
