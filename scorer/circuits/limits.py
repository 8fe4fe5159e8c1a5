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
MAX_BANDWIDTH = 1e6
#: Characters of a circuit's name.
MAX_NAME = 100
