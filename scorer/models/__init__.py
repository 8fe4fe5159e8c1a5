"""Fitted models: observables, their classical twins, calibration, decisions and the artifact format."""
