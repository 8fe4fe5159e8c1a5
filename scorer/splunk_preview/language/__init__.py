"""SPL's expressions, search terms and aggregations: from text to functions of a row."""
