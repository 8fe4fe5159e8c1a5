"""What the sink and the connector share: the client, its failures in words, and look-ups by id. No NumPy here."""
