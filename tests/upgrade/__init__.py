"""A rolling upgrade from the version before, under load."""
