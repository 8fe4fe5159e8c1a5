"""What crosses the border to the Splunk app: errors and problems, names, options, cards, the HTTP client.

Runs under Python 3.9 with the standard library alone, because it ships inside the Splunk app.
"""
