"""Documents that are there already: backfill, rescore, reconcile."""
