"""How large a circuit may be."""

from __future__ import annotations

#: Qubits of the exact engine, and of the projected family.
MAX_QUBITS = 12
MAX_PROJECTED_QUBITS = 20
MAX_GATES = 20_000
MAX_STEPS = 4096
#: Terms of diagonals and gates of local runs, in all.
MAX_PARTS = 20_000
#: Parts of the angles' formulas, in all.
MAX_NODES = 20_000
#: Operations of one row (``steps.cost``): about 10 ms of the exact engine, and a second or two of the simulator that
#: runs circuits of more than MAX_QUBITS. A ZZ map of 12 qubits and 6 repetitions takes 700,000.
MAX_OPERATIONS = 1 << 23
MAX_SIMULATED_OPERATIONS = 1 << 30
MAX_BANDWIDTH = 1e6
#: Characters of a circuit's name.
MAX_NAME = 100
