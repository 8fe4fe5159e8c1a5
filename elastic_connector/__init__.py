"""The Elastic edge: documents are read as they arrive, scored through the queue, and their scores written back."""
