"""How each model family is searched and fitted."""
