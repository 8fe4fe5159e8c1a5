"""Feature maps: which circuit turns a row's angles into a quantum state."""
