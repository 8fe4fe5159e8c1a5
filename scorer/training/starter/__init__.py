"""Starter models: a made-up company's activity and what is trained on it."""
