"""Looks at the gateway, the queue with its workers, and the models: can batches be scored on this machine now?"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from scorer.registry.cards import CardStore
from scorer.registry.trusted import ending
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.lifetimes import warning
from scorer.service.access.trust.anchors import known_cards
from scorer.service.client.local import local_client
from scorer.service.queue.broker import shown_urls
from scorer.service.queue.closing.draining import DrainMark
from scorer.service.queue.closing.switches import EVERY, SwitchBoard
from scorer.service.queue.exchange import QueueState
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.queue.sealing.exposure import REMEDY, exposures
from scorer.service.settings import Settings
from scorer.service.stack.up import queue_of, read_state
from scorer.wire.errors import QScoreError
from scorer.wire.release import COMMAND, GATEWAY, RELEASE, WORKER, minor, skew

_GATEWAY_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``good``: it does its part of scoring. ``line``: what was found, one sentence.

    ``warning``: it does so still, and somebody should act.
    """

    good: bool
    line: str
    warning: bool = False


def checks(settings: Settings) -> tuple[Check, ...]:
    """Look at gateway, queue, models and keys; what is out of order is told, not raised."""
    return (
        _gateway(settings),
        _queue(settings),
        *_seals(settings),
        _models(settings),
        _releases(settings),
        _closed(settings),
        *_failing(settings),
        *_keys(settings),
    )


def queue_check(settings: Settings, state: QueueState, lanes: Lanes = LANES) -> Check:
    """Say whether somebody works on every lane that is wanted here, and what waits."""
    for lane in lanes:
        if lane.wanted(settings) and state.workers[lane.name] == 0:
            return Check(False, f"queue: {shown_urls(settings)} answers, but {lane.silence.status}")
    return Check(True, f"queue: {shown_urls(settings)}; {depths(state, lanes)}")


def depths(state: QueueState, lanes: Lanes = LANES) -> str:
    """Say what waits and who works; a lane for special models is named where somebody works on it."""
    waiting = ", ".join(f"{queue} {count}" for queue, count in state.waiting.items())
    shown = [lane for lane in lanes if lane.takes is None or state.workers[lane.name]]
    workers = ", ".join(f"{state.workers[lane.name]} {lane.counted_as}" for lane in shown)
    return f"waiting: {waiting}; workers: {workers}"


def _gateway(settings: Settings) -> Check:
    try:
        with local_client(settings, timeout=_GATEWAY_SECONDS) as client:
            client.models()
            url = read_state(settings)
    except QScoreError as error:
        return Check(False, f"gateway: {error.sentence()}")
    return Check(True, f"gateway: {url.url if url else ''}")


def _failing(settings: Settings) -> tuple[Check, ...]:
    """List the processes of `qscore up` that keep ending."""
    state = read_state(settings)
    return tuple(Check(False, f"process: {reason}") for reason in (state.failing if state else ()))


def _queue(settings: Settings) -> Check:
    try:
        queue = queue_of(settings)
        for exchange in (queue.fast, queue.durable):
            exchange.prove_writable()
        state = queue.state()
    except QScoreError as error:
        return Check(False, f"queue: {shown_urls(settings)}: {error.sentence()}")
    return queue_check(settings, state)


def _seals(settings: Settings) -> tuple[Check, ...]:
    """Warn of servers on which others could write values that are taken for ours."""
    return tuple(Check(True, f"queue: {sentence}. {REMEDY}", warning=True) for sentence in exposures(settings))


def _releases(settings: Settings) -> Check:
    """Compare this command, gateway and workers."""
    sides, told = {COMMAND: RELEASE}, [f"command {RELEASE}"]
    try:
        with local_client(settings, timeout=_GATEWAY_SECONDS) as client:
            sides[GATEWAY] = client.release()
            told.append(f"gateway {sides[GATEWAY]}")
    except QScoreError:
        told.append("gateway not known")
    try:
        found = sum(queue_of(settings).releases().values(), Counter[str]())
    except QScoreError:
        found = Counter()
    if found:
        sides[WORKER] = min(found, key=minor)
    told.append("workers " + (", ".join(f"{count} of {name}" for name, count in sorted(found.items())) or "not known"))
    differs = skew(sides)
    return Check(not differs, f"versions: {'; '.join(told)}" + (f". {differs}" if differs else ""))


def _closed(settings: Settings) -> Check:
    """Look whether anything is switched off, or drained."""
    if DrainMark(settings.drain_mark).is_set():
        return Check(False, "open: no; drained, no new batch is taken. `qscore drain --undo` ends it.")
    try:
        switches = SwitchBoard(settings.switches, queue_of(settings).durable.client).read()
    except QScoreError as error:
        return Check(False, f"disabled: not known; {error.sentence()}")
    if not switches.disabled:
        return Check(True, "disabled: no model")
    names = ", ".join(switches.disabled)
    return Check(EVERY not in switches.disabled, f"disabled: {names}. `qscore enable MODEL` ends it.")


def _keys(settings: Settings) -> tuple[Check, ...]:
    """Name the keys that end soon or have ended; none where every one lasts."""
    try:
        keys = KeyFile(settings.api_keys).keys()
    except QScoreError as error:
        return (Check(False, f"keys: {error.sentence()}"),)
    said = [warning(key.id, key.expires, time.time()) for key in keys]
    return tuple(Check(True, text, warning=True) for text in said if text)


def _models(settings: Settings) -> Check:
    store = known_cards(settings)
    try:
        found = [_live(store, name) for name in store.names()]
    except (QScoreError, OSError) as error:
        return Check(False, f"models: {error}")
    if not found:
        return Check(False, "models: none yet. `qscore train --model lateral` trains a starter.")
    line = "; ".join([", ".join(line for _, line in found), *ending(settings.trusted_keys)])
    return Check(all(good for good, _ in found), f"models: {line}")


def _live(store: CardStore, name: str) -> tuple[bool, str]:
    """Tell whether a model's live version can score, and that version or why it cannot."""
    try:
        card = store.card(name)
    except QScoreError as error:
        return False, f"{name}: {error.sentence()}"
    return True, f"{card.name} {card.version}{' (starter: generated rows)' if card.starter else ''}"
