"""Models measured with a finite number of shots."""
