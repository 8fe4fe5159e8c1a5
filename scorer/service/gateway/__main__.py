"""The gateway's server process: ``python -m scorer.service.gateway [listening file descriptor]``."""

from scorer.service.gateway.server import run

run()
