"""Polynomials for sine, cosine and powers of two, made once by interpolation at Chebyshev points.

Each is good to a few units in the last place of a float32 on its whole range, so that one pass of multiplications and
additions replaces a library call for every number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]
Coefficients = tuple[float, ...]


def _interpolated(function: Callable[[Array], Array], degree: int, low: float, high: float) -> Coefficients:
    """Coefficients by rising power of the polynomial through the Chebyshev points of [low, high]."""
    series = Chebyshev.interpolate(function, degree, domain=[low, high]).convert(kind=Polynomial)
    return tuple(float(c) for c in series.coef)


#: sin(pi t) = t * SINE(t^2) for |t| <= 1/2.
SINE = _interpolated(lambda w: np.pi * np.sinc(np.sqrt(w)), 4, 0.0, 0.25)
#: cos(pi t) = COSINE(t^2) for |t| <= 1/2.
COSINE = _interpolated(lambda w: np.cos(np.pi * np.sqrt(w)), 5, 0.0, 0.25)
#: 2^t = EXP2(t) for |t| <= 1/2.
EXP2 = _interpolated(np.exp2, 6, -0.5, 0.5)
