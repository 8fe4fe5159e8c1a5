"""IoT-23 connections for training: distinct rows, missing values empty, one group for each attack family.

The published subset is resampled with duplicates, without times and hosts, and writes -1 for what Zeek left out. A
row that stands many times says nothing that it does not say once: distinct rows alone are kept. Attacks of a family
make one group, so that a model that is shown attacks is judged on families that it has not seen; benign rows, which
name no host, are spread over 200 groups.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.builder import Columns
from scorer.rows.files import read_table

FILE = "zeroday_iot23_families/iot23_flows.csv.gz"
RECIPE = Path(__file__).resolve().parents[1] / "tests" / "integration" / "recipes" / "iot_flow.toml"
COLUMNS = Columns("malicious", None, "family")
FIELDS = ("proto", "duration", "orig_bytes", "resp_bytes", "conn_state")
COUNTS = ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")
_BENIGN_GROUPS = 200


def iot_events(data: Path, benign: int, each_family: int, seed: int = 0) -> pa.Table:
    """At most ``benign`` benign and ``each_family`` malicious rows of each family, drawn at random, in random order."""
    table = _distinct(read_table(data / FILE))
    rng = np.random.default_rng(seed)
    family = np.array(table["detailed-label"].to_pylist())
    chosen = []
    for name in np.unique(family):
        found = np.flatnonzero(family == name)
        most = benign if name == "0" else each_family
        chosen.append(rng.permutation(found)[:most])
    order = rng.permutation(np.concatenate(chosen))
    return _labelled(table.take(order), family[order], rng)


def _distinct(table: pa.Table) -> pa.Table:
    table = table.select([*FIELDS, *COUNTS, "detailed-label"])
    return table.group_by(table.column_names, use_threads=False).aggregate([])


def _labelled(table: pa.Table, family: np.ndarray, rng: np.random.Generator) -> pa.Table:
    columns = {name: _without_minus_one(table[name].combine_chunks()) for name in (*FIELDS, *COUNTS)}
    spread = rng.integers(0, _BENIGN_GROUPS, len(family))
    groups = [f"benign {k}" if name == "0" else f"family {name}" for name, k in zip(family, spread, strict=True)]
    return pa.table({**columns, "malicious": (family != "0").astype(np.int64), "family": groups})


def _without_minus_one(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_in(column, pa.array(["-1", "-1.0"])), pa.scalar(None, pa.string()), column)
