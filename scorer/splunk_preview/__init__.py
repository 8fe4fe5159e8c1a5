"""A subset of SPL, enough to run this product's own macros and searches over events without Splunk."""
