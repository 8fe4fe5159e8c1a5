"""Where circuits too large for the exact engine are run: a module for each simulator or service, one table of them."""
