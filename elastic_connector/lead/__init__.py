"""Leading a source: lease, terms, batches out and acknowledgements back."""
