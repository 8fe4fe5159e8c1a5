"""What crosses a process boundary: messages, problems, names, the HTTP client.

Runs under Python 3.9 with the standard library alone, because it ships inside the Splunk app.
"""
