"""Commands by which a running installation is kept."""
