"""The `qscore` command. Every topic is a module with ``register(app)``; errors become one line on standard error."""
