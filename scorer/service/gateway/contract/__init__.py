"""The gateway's contract: its OpenAPI description, and the page that shows it."""
