"""Model cards from the gateway: who knows a card never waits for the gateway, however long that takes to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from scorer.logs import get_log
from scorer.secret_file import read_secret
from scorer.service.settings import Settings
from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient
from scorer.wire.errors import ConfigurationError, Problem, QScoreError, Unavailable

#: Seconds that the gateway has to answer for one card: less than it has for scores, because a card costs it nothing.
CARD_SECONDS = 10.0


@dataclass(frozen=True)
class _Known:
    """The last card that came. ``trouble``: why the look after it failed."""

    card: ModelCard
    trouble: Problem | None = None


class GatewayCards:
    """Model cards, each kept for ``keep`` seconds and then asked for again by a thread of its own.

    Meanwhile, and while the gateway is away or hangs, the last card goes on serving, and the gateway is asked once in
    ``keep`` seconds at most. No lock is held while the gateway is asked. ``connect``: makes a client of the gateway for
    one question. ``clock``: monotonic seconds.
    """

    def __init__(
        self,
        connect: Callable[[], GatewayClient],
        keep: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._keep, self._clock = connect, keep, clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], _Known] = {}
        self._again_at: dict[tuple[str, str], float] = {}  # by the clock; infinite while the gateway is asked

    def __call__(self, model: str, version: str) -> ModelCard:
        """Return the card as it was known last; a card that is not known yet is asked for first.

        Raises what the gateway's client raises: for a card that is not known at once, for one that is known when the
        last look found that it is gone (UnknownModel) or may not be read, never because the gateway is unavailable.
        """
        key = model, version
        with self._lock:
            known = self._known.get(key)
            due = known is not None and self._clock() >= self._again_at[key]
            if due:
                self._again_at[key] = float("inf")
        if known is None:
            return self._first(key)
        if due:
            threading.Thread(target=self._look, args=(key, known), name=f"card-{model}", daemon=True).start()
        return _usable(known)

    def _first(self, key: tuple[str, str]) -> ModelCard:
        card = self._ask(*key)
        self._note(key, _Known(card))
        return card

    def _look(self, key: tuple[str, str], known: _Known) -> None:
        """Ask again for a card that is known. Never raises: what fails is noted, and said once in the log."""
        found = known
        try:
            found = _Known(self._ask(*key))
        except QScoreError as error:
            found = _Known(known.card, Problem.of(error))
            if found.trouble != known.trouble:
                get_log().warning("card_not_read", model=key[0], version=key[1], reason=error.sentence())
        except Exception:  # a defect must not keep the card from being asked for again
            get_log().exception("card_failed", model=key[0], version=key[1])
        finally:
            self._note(key, found)

    def _ask(self, model: str, version: str) -> ModelCard:
        with closing(self._connect()) as client:
            return client.card(model, version)

    def _note(self, key: tuple[str, str], known: _Known) -> None:
        with self._lock:
            self._known[key] = known
            self._again_at[key] = self._clock() + self._keep


def gateway_cards(settings: Settings, local: Callable[[], GatewayClient]) -> GatewayCards:
    """Make cards from ``elastic.gateway_url``, or from the stack on this machine, whose client ``local`` makes."""
    elastic = settings.elastic

    def remote() -> GatewayClient:
        if elastic.gateway_key_file is None:
            raise ConfigurationError(
                "elastic.gateway_url is set without elastic.gateway_key_file",
                "Make a key with `qscore key new --scope read` and name the file that holds it.",
            )
        key = read_secret(elastic.gateway_key_file.expanduser(), "elastic.gateway_key_file")
        ca = str(elastic.gateway_ca.expanduser()) if elastic.gateway_ca else None
        return GatewayClient(elastic.gateway_url, key, ca, CARD_SECONDS)

    return GatewayCards(remote if elastic.gateway_url else local)


def _usable(known: _Known) -> ModelCard:
    error = None if known.trouble is None else known.trouble.error()
    if error is None or isinstance(error, Unavailable):
        return known.card
    raise error
