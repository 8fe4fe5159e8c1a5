"""From a body to scores and back: decode, score, encode. NumPy and Arrow alone."""
