"""`qscore drain`, `qscore disable` and `qscore enable`: what operators close and open again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer

from scorer.cli.terminal import say
from scorer.registry.cards import CardStore
from scorer.service.access.audit import audited
from scorer.service.queue.closing.draining import DrainMark, UnderWay, under_way
from scorer.service.queue.closing.switches import SwitchBoard, Switches, checked_target
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import queue_of
from scorer.wire.errors import Unavailable

_LOOK = 0.5
#: Looks in a row that find nothing: a batch that was let in just before may be on its way to the queue.
_QUIET_LOOKS = 3

_Target = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, or all.")]


def register(app: typer.Typer) -> None:
    """Add `qscore drain`, `qscore disable` and `qscore enable`."""
    app.command("drain")(drain)
    app.command("disable")(disable)
    app.command("enable")(enable)


def drain(
    undo: Annotated[bool, typer.Option("--undo", help="Take batches again.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for what is under way.")] = 120.0,
) -> None:
    """Take no new batches here, and wait until what is under way is done; then stop or upgrade.

    The gateway answers 503 (code draining, with Retry-After) and /readyz says no, so that a balancer sends callers
    elsewhere; a connector with this home sends nothing. Workers go on. A start of `qscore up` ends it. Exit code 0 when
    nothing is under way any more, 1 when something still is.

    \b
    Example:
      qscore drain && systemctl restart qscore
    """
    settings = load_settings()
    mark = DrainMark(settings.drain_mark)
    if undo:
        with audited(settings, "drained", undone=True):
            mark.clear()
        say("batches are taken again")
        return
    with audited(settings, "drained"):
        mark.set()
    say("no new batch is taken; `qscore drain --undo` ends it")
    left = _awaited(settings, time.monotonic() + wait)
    if left.total:
        raise Unavailable(
            f"after {wait:g} s there is still {left.line()}",
            "Rows for a sink that is away stay on the queue and are written after the next start; batches that callers "
            "wait for do not. Wait on with `qscore drain`.",
        )
    say("nothing is under way; `qscore up` can be stopped")


def _awaited(settings: Settings, deadline: float) -> UnderWay:
    """Look until nothing is under way or the deadline (monotonic seconds) has come, and say what changes."""
    queue, said, quiet = queue_of(settings), "", 0
    try:
        while True:
            found = under_way(queue)
            quiet = 0 if found.total else quiet + 1
            if found.line() != said:
                said = found.line()
                say(said)
            if quiet >= _QUIET_LOOKS or time.monotonic() >= deadline:
                return found
            time.sleep(_LOOK)
    finally:
        queue.close()


def disable(model: _Target) -> None:
    """Switch a model off everywhere, or all of them, within 5 seconds: for when its scores do harm.

    Rows of searches and of the API come back with the status disabled and nothing is written. The Elastic connector
    stops at its checkpoint and goes on from there when the model is enabled. Scores that wait for a sink are still
    written. It holds across restarts.

    \b
    Examples:
      qscore disable lateral
      qscore disable all
    """
    settings = load_settings()
    checked_target(model, CardStore(settings.registry, settings.trusted_keys).names())
    with audited(settings, "disabled", model=model):
        _tell(_changed(settings, lambda now: now.with_off(model)))


def enable(model: _Target) -> None:
    """Switch a model on again, or all of them.

    \b
    Example:
      qscore enable lateral
    """
    settings = load_settings()
    with audited(settings, "enabled", model=model):
        _tell(_changed(settings, lambda now: now.without(model)))


def _changed(settings: Settings, step: Callable[[Switches], Switches]) -> Switches:
    queue = queue_of(settings)
    try:
        return SwitchBoard(settings.switches, queue.durable.client).change(step)
    except Unavailable as error:
        raise Unavailable(
            f"{error.detail}: it is written down in {settings.switches.name} and holds on this machine within seconds",
            "Other machines take it from the queue, once its server answers and qscore runs here.",
        ) from None
    finally:
        queue.close()


def _tell(switches: Switches) -> None:
    names = ", ".join(switches.disabled)
    say(f"disabled: {names or 'no model'}; gateways, workers and connectors follow within 5 seconds")
