"""A worker process: ``python -m scorer.service.worker score|bulk|deliver|qpu``."""

from scorer.service.worker.process import run

run()
