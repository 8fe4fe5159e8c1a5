"""Splunk's HTTP Event Collector as a sink."""
