"""Quantum kernels as scikit-learn estimators; circuits are simulated exactly on classical processors."""
