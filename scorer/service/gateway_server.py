"""The gateway under the name by which 0.1.0 started it, for units and scripts that still do.

python -m scorer.service.gateway_server      # now: python -m scorer.service.gateway
"""

from scorer.service.gateway.server import run

if __name__ == "__main__":
    run()
