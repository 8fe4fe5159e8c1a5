"""Strict local stand-ins for what only Splunk has, on real sockets. For demo and tests, never for production."""
