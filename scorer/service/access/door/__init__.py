"""Who comes in, and as whom: keys, tokens, certificates and people at one door."""
