"""The queue: its lanes, the way onto it, and what lies beside it."""
