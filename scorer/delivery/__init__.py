"""Scores into sinks: shaping, sending, and keeping what could not be sent."""
