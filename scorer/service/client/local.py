"""Where the gateway of this machine is reached, and with which key."""

from __future__ import annotations

from scorer.secret_file import read_secret
from scorer.service.settings import Settings
from scorer.service.stack.up import read_state
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Unreachable


def local_client(settings: Settings, timeout: float = 30.0) -> GatewayClient:
    """Make a client of the gateway that runs on this machine; ``timeout``: seconds of each exchange.

    Raises Unreachable when none runs.
    """
    state = read_state(settings)
    if state is None or not settings.local_key.is_file():
        raise Unreachable(f"no qscore is running in {settings.home}", "Start it with `qscore up`.")
    key = read_secret(settings.local_key, "local_api_key")
    name, certificate = settings.gateway.hostnames[0], settings.presented_certificate
    return GatewayClient(state.url, key, state.ca_file, timeout, name, certificate)
