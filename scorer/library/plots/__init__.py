"""What can be looked at: kernels, spectra, circuits. Matplotlib is loaded by the first plot, never before."""
