"""A backfill steps back while live scoring lags, on a real server with a real queue: nothing is sent meanwhile."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from threading import Event, Thread

from elastic_connector.history.backfill import Progress
from elastic_connector.history.source_history import History
from elastic_connector.lead.batches import Queues
from elastic_connector.lead.lease import Lease
from scorer.elastic_client.client import connect
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.moments import later, millis
from scorer.registry.cards import CardStore
from scorer.service.queue.broker import redis_client
from scorer.service.queue.exchange import Exchange
from scorer.service.settings import load_settings
from tests.elastic.conftest import Server
from tests.elastic.run_tools import eventually
from tests.elastic.stage import MODEL, SOURCE, logon, open_stage

T0 = 1_699_990_200.0  # when the documents of the past happened and arrived
DOCUMENTS = 600
_LOOKS = 8
BEHIND = "for live scoring, which is behind"


def test_a_backfill_waits_while_live_scoring_is_behind_and_goes_on_after_it(
    elasticsearch: Server, namespace: str, tmp_path: Path
) -> None:
    with open_stage(tmp_path, elasticsearch, namespace) as stage:
        stage.load(logon(T0 + n, n, ingested=T0 + n) for n in range(DOCUMENTS))
        elastic = tomllib.loads((stage.home / "qscore.toml").read_text())["elastic"]
        elastic["in_flight_rows"] = 100  # a page at a time, so that the rest is not on its way yet
        settings = load_settings(home=stage.home, elastic=elastic)
        card = CardStore(settings.registry, settings.trusted_keys).card(MODEL)
        exchange = Exchange(redis_client(settings, connections=4, longest_wait=5.0))
        with connect(settings.elastic) as client:
            clock = ServerClock(client)
            # Live scoring, as the backfill sees it: a leader that has scored everything up to five minutes ago.
            live = Lease(client, settings.elastic.state_index, SOURCE, MODEL, 600.0, 5.0)
            stage.admin.options(ignore_status=404).delete(index=live.index, id=live.id)
            assert live.acquire(card.version)
            live.renew(later(clock.millis(), -300.0))
            # The lag is asked for every few seconds; here every look is a few seconds after the one before.
            hasty = itertools.count(step=10).__next__
            history = History(
                client, settings.elastic, settings.elastic.sources[0], card, clock, Queues.of(settings, exchange), hasty
            )
            scope = history.scope(millis(T0), millis(T0 + 3600))
            seen: list[Progress] = []
            lagging = Event()

            def show(progress: Progress) -> None:
                seen.append(progress)
                if progress.written >= 100 and not lagging.is_set():
                    # Documents arrived that live scoring has not got to for more than three minutes.
                    stage.load(logon(T0, n, ingested=clock.now() - 200) for n in range(5))
                    lagging.set()

            run = Thread(target=history.backfill, args=(scope, show, Event()), daemon=True)
            run.start()
            assert lagging.wait(60)
            assert eventually(lambda: len(last := seen[-_LOOKS:]) == _LOOKS and len(set(map(_shown, last))) == 1)
            waiting, written = _shown(seen[-1])
            assert waiting == BEHIND
            assert 100 <= written < DOCUMENTS
            waited = len(seen)
            assert eventually(lambda: len(seen) > waited + _LOOKS)
            assert set(map(_shown, seen[waited:])) == {(BEHIND, written)}, "nothing is sent meanwhile"
            assert run.is_alive()
            live.renew(clock.millis())  # live scoring has caught up
            run.join(60)
            assert not run.is_alive()
            assert seen[-1].written == DOCUMENTS
            assert len({hit["_id"] for hit in stage.written()}) == DOCUMENTS
        exchange.client.close()


def _shown(progress: Progress) -> tuple[str, int]:
    return progress.waiting, progress.written
