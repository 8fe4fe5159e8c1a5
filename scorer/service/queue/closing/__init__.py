"""What operators close: a stack that is drained, a model that is disabled."""
