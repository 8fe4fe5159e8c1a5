"""What is written down of requests: their lines in the log, and the last uses of keys."""
