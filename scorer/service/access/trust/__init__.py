"""Whose models count here, and what gateway, workers and commands do about it."""
