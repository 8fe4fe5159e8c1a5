"""Amplitudes and scores of whole batches: a float64 reference, a float32 fast path in NumPy or compiled by numba."""
