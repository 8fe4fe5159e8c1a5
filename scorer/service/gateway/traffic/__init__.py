"""What keeps one caller of the gateway from stopping the others: limits of each key, and turns between keys."""
