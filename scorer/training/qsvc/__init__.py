"""A QSVC that was trained with qiskit-machine-learning as a model of ours."""
