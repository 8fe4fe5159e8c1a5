"""Training: features, search, fit, calibration, evaluation. Never imported by scoring."""
