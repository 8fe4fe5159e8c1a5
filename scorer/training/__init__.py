"""Training: generated activity, rows from events, search, fit, calibration, evaluation. Never imported by scoring."""
