"""Amplitudes and scores of whole batches: a float64 reference and a float32 fast path, NumPy only."""
