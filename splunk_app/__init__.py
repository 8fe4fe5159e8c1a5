"""The library behind the app's entry scripts: the search command `| qscore`.

Runs under Splunk's own Python (3.9 and 3.13) with the standard library and scorer.wire alone.
"""
