"""Renews a lease in a thread of its own, so that a slow search cannot lose it; writes the checkpoint along with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from elastic_connector.lead.lease import Lease, LeaseLost
from scorer.elastic_client.moments import Millis
from scorer.logs import get_log
from scorer.wire.errors import QScoreError

_AGAIN = 1.0  # seconds after a renewal that failed


class HeldLease(Protocol):
    """What a leader's work needs of the lease; `LeaseKeeper` has it. ``checkpoint``: written with the next renewal."""

    checkpoint: Millis | None

    def held(self) -> bool: ...

    def flush(self) -> None: ...


class LeaseKeeper:
    """``with LeaseKeeper(lease, announce) as keeper``; ``announce`` is called with every renewal and returns the epoch
    that is in force: a higher one than the lease's is that of a later leader."""

    def __init__(self, lease: Lease, announce: Callable[[], int]) -> None:
        self._lease = lease
        self._announce = announce
        self._stop = threading.Event()
        self._written: Millis | None = lease.state.checkpoint if lease.state else None
        self._thread = threading.Thread(target=self._run, name=f"lease-{lease.id}", daemon=True)
        #: Newest checkpoint; the loop sets it, the thread writes it.
        self.checkpoint: Millis | None = self._written
        self.lost = False

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def held(self) -> bool:
        """Tell whether batches may still be sent."""
        return not self.lost and self._lease.held()

    def flush(self) -> None:
        """Write the checkpoint now, if it moved. Raises LeaseLost and what the state's writing raises."""
        if self.checkpoint != self._written:
            self._renew()

    def _run(self) -> None:
        wait = self._lease.renew_every
        while not self._stop.wait(wait):
            wait = self._lease.renew_every
            try:
                self._renew()
                if self._announce() > self._lease.epoch:
                    raise LeaseLost(f"a later leader of {self._lease.id} is at work", "This connector stands by.")
            except LeaseLost as error:
                self.lost = True
                get_log().warning("lease_lost", lease=self._lease.id, reason=error.detail)
                return
            except QScoreError as error:
                get_log().warning("lease_not_renewed", lease=self._lease.id, reason=error.detail)
                wait = min(_AGAIN, wait)
            except Exception:  # whatever it was: a renewal that failed must not end the renewing
                get_log().exception("lease_not_renewed", lease=self._lease.id)
                wait = min(_AGAIN, wait)

    def _renew(self) -> None:
        checkpoint = self.checkpoint
        self._lease.renew(checkpoint)
        self._written = checkpoint
