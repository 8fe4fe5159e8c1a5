"""Who may come in: API keys and the local certificate authority."""
