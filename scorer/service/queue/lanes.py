"""Names of tasks and queues."""

from __future__ import annotations

TASK_SCORE = "qscore.score"
TASK_DELIVER = "qscore.deliver"
QUEUE_DELIVER = "deliver"
QUEUE_QPU = "qpu"  # models that no ordinary worker can score: circuits above MAX_EXACT_QUBITS

#: Circuits up to here are scored exactly by every worker; larger ones by a worker of the qpu lane.
MAX_EXACT_QUBITS = 12
