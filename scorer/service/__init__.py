"""Gateway, queue and workers: everything that runs as a server."""
