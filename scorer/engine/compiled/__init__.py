"""A program and sums of Gaussians as loops that numba compiles (the extra ``fast``)."""
