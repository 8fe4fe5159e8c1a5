"""What keeps one caller from stopping the others: limits of each key, and turns on the way to a lane."""
