"""How far scores of the two paths may be from each other and from float64."""

#: Largest change of a score by the batch that a row is in, in units of sum |eigenvalue| (or sum |coefficient|).
BATCH_BOUND = 1e-6
#: Largest distance from the float64 score in the same unit, of either path, for circuits of up to fifty steps.
FLOAT32_BOUND = 2e-5
