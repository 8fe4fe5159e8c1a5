"""From gates to the few kinds of steps that a batch goes through."""
