"""Workers: what takes batches and deliveries from the queue."""
