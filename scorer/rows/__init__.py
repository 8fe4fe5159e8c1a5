"""Named columns of a row -> the numbers that a model sees."""
