"""People, by OpenID Connect: the provider and its keys, and who an ID token stands for."""
