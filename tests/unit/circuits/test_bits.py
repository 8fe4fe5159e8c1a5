"""Masks as sets of qubits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scorer.circuits.steps.bits import mask_of, members, runs


@given(st.integers(0, 2**12 - 1))
def test_runs_are_the_masks_neighbours_lowest_first(mask: int) -> None:
    found = runs(mask)
    assert mask_of(q for low, count in found for q in range(low, low + count)) == mask
    assert [low for low, _ in found] == sorted(low for low, _ in found)
    assert sum(count for _, count in found) == len(members(mask))
    # Each run is as long as it can be.
    assert not any(mask >> (low + count) & 1 or (low and mask >> (low - 1) & 1) for low, count in found)
