"""How the gateway takes callers in: their certificates, their rights, their tokens."""
