"""The sums at the end of a score: of squared overlaps, of paired products, and of the powers of two in Gaussians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.engine.compiled.jit import compiled, inlined
from scorer.engine.compiled.series import EXP2

Single = NDArray[np.float32]

#: Terms added at a time, so that each sum is loaded and stored once for all of them.
ABREAST = 4
#: Below this power of two a float32 loses digits, and a processor takes many cycles for what is left.
_SMALLEST_POWER = np.float32(-115.0)
#: Bits of a float32 behind its exponent, and what is added to the exponent.
_MANTISSA, _BIAS = np.int32(23), np.int32(127)
_ROUND = np.float32(1.5 * 2**23)
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = (np.float32(c) for c in EXP2)


@inlined
def _power(exponent: np.float32) -> np.float32:
    """2^exponent, for exponents below 127; below 2^-115 it stays there."""
    t = max(exponent, _SMALLEST_POWER)
    whole = (t + _ROUND) - _ROUND
    f = t - whole
    series = (((((_E6 * f + _E5) * f + _E4) * f + _E3) * f + _E2) * f + _E1) * f + _E0
    return series * np.int32((np.int32(whole) + _BIAS) << _MANTISSA).view(np.float32)


@compiled
def weighted_powers(exponents: Single, weights: Single, out: Single) -> None:
    """Write sum_j weights_j 2^(exponents_j) into ``out`` (c,), for exponents (m, c); m is a multiple of ABREAST."""
    out[...] = np.float32(0.0)
    for j in range(0, len(weights), ABREAST):
        a, b, c, d = exponents[j], exponents[j + 1], exponents[j + 2], exponents[j + 3]
        v, w, x, y = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for i in range(len(out)):
            out[i] += (v * _power(a[i]) + w * _power(b[i])) + (x * _power(c[i]) + y * _power(d[i]))


@compiled
def weighed(overlaps: Single, values: Single, scores: Single) -> None:
    """Write sum_k values_k ((p_k - q_k)^2 + (p_k - r_k)^2) into ``scores`` (blocks, width).

    ``overlaps``: (blocks, 3, rank, width), for each eigenvector the products r, q and p (see ``scorer.engine.fast``).
    """
    for block in range(len(overlaps)):
        out = scores[block]
        for i in range(len(out)):
            out[i] = np.float32(0.0)
        for k in range(len(values)):
            r, q, p, value = overlaps[block, 0, k], overlaps[block, 1, k], overlaps[block, 2, k], values[k]
            for i in range(len(out)):
                x, y = p[i] - q[i], p[i] - r[i]
                out[i] += value * (x * x + y * y)


@compiled
def paired(planes: Single, products: Single, scores: Single) -> None:
    """Write sum_b (s_b p_b - x_b q_b) into ``scores`` (columns,).

    ``planes``: (3, 2^n, columns), of which x is the first and s the third. ``products``: (2, 2^n, columns), p and q
    (see ``scorer.engine.forms``).
    """
    scores[...] = np.float32(0.0)
    x, s, p, q = planes[0], planes[2], products[0], products[1]
    for b in range(len(x)):
        xs, ss, ps, qs = x[b], s[b], p[b], q[b]
        for i in range(len(scores)):
            scores[i] += ss[i] * ps[i] - xs[i] * qs[i]
