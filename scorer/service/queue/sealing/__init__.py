"""Seals on what lies on a queue server of one's own."""
