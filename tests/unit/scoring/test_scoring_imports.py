"""The scoring path loads NumPy and pyarrow, nothing that only training needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from scorer.models.artifact import to_parts
from scorer.models.trained import TrainedModel

PROGRAM = """
import json, sys
from scorer.service.worker.lean import keep_pandas_out
keep_pandas_out()
import numpy as np
from scorer.models.artifact import from_parts
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.wire.options import ScoreOptions

description = json.load(open(sys.argv[1]))
with np.load(sys.argv[2], allow_pickle=False) as stored:
    model = from_parts(description, dict(stored))
body = b"events,logons,failures,user\\n5,1,0,a\\nx,1,0,b\\n9,9,0,c\\n"
batch = decode(body, "text/csv", 3, model, model_name="lateral", batch_id="b" * 8, write=True)
reply = encode_reply(score(model, "1", batch, ScoreOptions(explain="all")))
loaded = {name.split(".")[0] for name in sys.modules}
print(json.dumps([reply.decode().count("\\n"), sorted(loaded & {"qiskit", "sklearn", "scipy", "pandas", "numba"})]))
"""


def test_scoring_loads_no_training_library(tiny_model: TrainedModel, tmp_path: Path) -> None:
    description, arrays = to_parts(tiny_model)
    (tmp_path / "model.json").write_text(json.dumps(description))
    np.savez(tmp_path / "arrays.npz", **arrays)  # type: ignore[arg-type]  # NumPy types **kwds as one bool
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "model.json"), str(tmp_path / "arrays.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(result.stdout) == [4, []]
