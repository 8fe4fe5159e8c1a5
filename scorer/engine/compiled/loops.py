"""A program's operations one after another, on some rows side by side: states (2, 2^n lanes), real parts first.

Every innermost loop runs over the rows, or over all amplitudes of all rows, and what it reads and writes lies at
constant distances or in few arrays: so LLVM turns it into vector instructions. No sum runs across rows, so that a row's
result does not depend on its neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.butterflies import transform
from scorer.engine.compiled.diagonals import constant_turn, summed, table, turn, turn_summed
from scorer.engine.compiled.encoding import Gates, Integers, OperationKind, Terms
from scorer.engine.compiled.jit import compiled
from scorer.engine.compiled.rotations import fill, matrices, rotate, rotate_real

Single = NDArray[np.float32]
#: For ``lanes`` rows side by side: slots (k, 2, 2^n lanes), turns (a, lanes), matrices of runs (runs, 4, lanes), and
#: room for one gate (4, lanes).
Workspace = tuple[Single, Single, Single, Single]

# Compiled code knows plain numbers only.
_TABLE, _LOAD, _TURN = int(OperationKind.TABLE), int(OperationKind.LOAD), int(OperationKind.TURN)
_CONSTANT_TURN, _START = int(OperationKind.CONSTANT_TURN), int(OperationKind.START)
_TRANSFORM, _LOAD_TRANSFORMED = int(OperationKind.TRANSFORM), int(OperationKind.LOAD_TRANSFORMED)
_ROTATE, _ROTATE_REAL = int(OperationKind.ROTATE), int(OperationKind.ROTATE_REAL)


@compiled
def _copy(source: Single, target: Single) -> None:
    """Copy the first numbers; an assignment of whole arrays compiles for seconds, for the sake of its error message."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def _start(states: Single, numbers: Single, lanes: int) -> None:
    """A constant vector becomes every row's amplitudes."""
    for b in range(states.shape[1] // lanes):
        states[0, b * lanes : (b + 1) * lanes] = numbers[2 * b]
        states[1, b * lanes : (b + 1) * lanes] = numbers[2 * b + 1]


@compiled
def run(  # noqa: C901  # one loop over kinds
    work: Workspace,
    angles: Single,
    start: int,
    out: Single,
    operations: Integers,
    terms: Terms,
    passes: Integers,
    full: int,
    places: Integers,
    runs: Integers,
    gates: Gates,
    numbers: Single,
) -> None:
    """Run a program on the rows of ``angles`` (a, ...), in turns, from column ``start``.

    ``out``: (blocks, 3, 2^n lanes), real parts, imaginary parts and their sums of so many blocks of rows; amplitudes
    are where they will be from the start, and diagonals are worked out where the sums will be. From ``operations`` on:
    see ``encoding.EncodedProgram``.
    """
    slots, turns, runs_matrices, gate = work
    lanes, size = turns.shape[1], out.shape[2]
    for block in range(len(out)):
        flat, spectrum = out[block].reshape(-1)[: 2 * size], out[block, 2]
        states, nothing = flat.reshape(2, size), flat[:0]
        for a in range(len(turns)):
            _copy(angles[a, start + block * lanes :], turns[a])
        matrices(runs_matrices, gate, turns, runs, gates)
        last = -1
        for o in range(len(operations)):
            kind, x, y = operations[o, 0], operations[o, 1], operations[o, 2]
            z, u = operations[o, 3], operations[o, 4]
            if kind == _TABLE:
                table(slots[x], spectrum, turns, y, z, terms, passes[:full])
            elif kind == _LOAD:
                _copy(slots[x].reshape(-1), flat)
            elif kind == _LOAD_TRANSFORMED:
                transform(slots[x].reshape(-1), flat, passes[y : y + z], lanes)
            elif kind == _TURN and o == len(operations) - 1:
                last = x
            elif kind == _TURN:
                turn(states, slots[x])
            elif kind == _START:
                _start(states, numbers[x:], lanes)
            elif kind == _CONSTANT_TURN:
                constant_turn(states, numbers[x:], lanes)
            elif kind == _TRANSFORM:
                transform(nothing, flat, passes[x : x + y], lanes)
            elif kind == _ROTATE:
                rotate(states, places[x : x + y], z, runs_matrices[u])
            elif kind == _ROTATE_REAL:
                rotate_real(states, places[x : x + y], z, runs_matrices[u])
            else:
                fill(states, places[x : x + y], z, runs_matrices[u])
        if last < 0:
            summed(states, out[block, 2])
        else:
            turn_summed(states, slots[last], out[block, 2])
