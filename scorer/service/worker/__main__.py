"""A worker process: ``python -m scorer.service.worker score|bulk|deliver|qpu``."""

from scorer.service.worker.lean import keep_pandas_out

keep_pandas_out()

from scorer.service.worker.process import run  # noqa: E402  Arrow is imported with it

run()
