"""Documents and closed windows of a source, page by page."""
