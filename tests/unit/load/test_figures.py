"""What counts as growth, and quantiles."""

from __future__ import annotations

import math
import random

import pytest

from tests.load.figures import growth, quantile


def noisy(slope: float, noise: float, level: float = 100.0, n: int = 200) -> list[float]:
    draw = random.Random(3)  # noqa: S311  # no secret
    return [level + slope * k + draw.gauss(0.0, noise) for k in range(n)]


@pytest.mark.parametrize(("slope", "noise"), [(0.2, 0.0), (0.2, 1.0), (1.0, 10.0)])
def test_a_leak_grows(slope: float, noise: float) -> None:
    line = growth(noisy(slope, noise))
    assert line.grows
    assert line.change == pytest.approx(99 * slope, rel=0.3)


@pytest.mark.parametrize(("slope", "noise"), [(0.0, 0.0), (0.0, 20.0), (-0.3, 1.0), (0.02, 0.1), (0.1, 100.0)])
def test_noise_a_little_and_less_are_steady(slope: float, noise: float) -> None:
    assert not growth(noisy(slope, noise)).grows


def test_what_happens_at_the_start_does_not_count() -> None:
    assert not growth([float(min(k, 50)) for k in range(120)]).grows


def test_few_samples_make_no_line() -> None:
    with pytest.raises(ValueError, match="5 samples are too few"):
        growth([1.0] * 5)


def test_quantiles() -> None:
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([5.0], 0.0) == 5.0
    assert math.isnan(quantile([], 0.5))
