"""Models that their operators have switched off, everywhere within seconds, for as long as nobody switches them on.

The state lies on the queue's durable server, where every gateway, worker and connector looks once a second, and in a
file of each home, because that server may keep nothing on its disk. Every change raises a serial; of two states the
later one counts, and whoever sees the queue hold an older one, or none, puts the later one there again. Two states of
one serial were made on two machines while the queue was away: what either switched off is off.
"""

from __future__ import annotations

import contextlib
import json
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import redis
from filelock import FileLock
from pydantic import Field, TypeAdapter, ValidationError

from scorer.logs import get_log
from scorer.registry.files import write_atomic
from scorer.service.queue.broker import private_dir
from scorer.service.queue.claims import reached
from scorer.wire.errors import BadOption, ConfigurationError, Disabled, Unavailable
from scorer.wire.names import is_name

#: The word for every model there is.
EVERY = "all"
_KEY = "qscore:switches"
#: Seconds between two looks.
LOOK_EVERY = 1.0
#: Seconds for the look that is under way when the board is closed.
_PATIENCE = 2.0
_CAP = 1 << 20  # bytes of a state
# One step of the server: of two that change the state at the same time, the second must see the first. On a full server
# too: what fills it may be the very model that is to be stopped.
_RAISE = """#!lua flags=allow-oom
local now = redis.call('GET', KEYS[1])
local serial = 0
if now then
    local read, state = pcall(cjson.decode, now)
    if read and type(state) == 'table' then serial = tonumber(state.serial) or 0 end
end
if tonumber(ARGV[1]) <= serial then return now end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""


@dataclass(frozen=True)
class Switches:
    """What is switched off: names of models, or EVERY. ``serial`` grows with each change; 0: nothing was ever."""

    serial: Annotated[int, Field(ge=0, lt=2**53)] = 0
    disabled: tuple[Annotated[str, Field(max_length=64)], ...] = ()

    def stop(self, model: str) -> bool:
        """Tell whether a model is switched off."""
        return EVERY in self.disabled or model in self.disabled

    def check(self, model: str) -> None:
        """Raise Disabled for a model that is switched off."""
        if self.stop(model):
            raise Disabled(
                f"model {model} is disabled by its operators", f"`qscore enable {self.word(model)}` ends it."
            )

    def word(self, model: str) -> str:
        """Say what to enable so that ``model`` scores again."""
        return EVERY if EVERY in self.disabled else model

    def without(self, model: str) -> Switches:
        """Switch a model on again; EVERY ends all of it. Raises BadOption where it cannot be."""
        if model == EVERY:
            return Switches(self.serial + 1)
        if EVERY in self.disabled:
            raise BadOption("every model is disabled", f"`qscore enable {EVERY}` ends that.")
        if model not in self.disabled:
            raise BadOption(f"model {model[:64]} is not disabled", "`qscore status` lists those that are.")
        return Switches(self.serial + 1, tuple(name for name in self.disabled if name != model))

    def with_off(self, model: str) -> Switches:
        """Switch a model off, or EVERY."""
        return Switches(self.serial + 1, tuple(sorted({*self.disabled, model})))

    def packed(self) -> str:
        """Write it as `read_switches` reads it."""
        return json.dumps({"serial": self.serial, "disabled": list(self.disabled)})


_SWITCHES = TypeAdapter(Switches)


def read_switches(raw: bytes | str | None) -> Switches:
    """Read a state; nothing, or nonsense, is the state in which nothing was ever switched off."""
    try:
        return _SWITCHES.validate_json(raw[:_CAP]) if raw else Switches()
    except ValidationError:
        get_log().error("switches_unreadable", remedy="`qscore disable` and `qscore enable` write them anew")
        return Switches()


@dataclass
class SwitchBoard:
    """The switches as one process sees them. ``file``: of its home. ``client``: of the queue's durable server.

    `now` never waits for the server but for the first time: a thread looks once a second from then on.
    """

    file: Path
    client: redis.Redis
    _seen: Switches = field(default_factory=Switches)
    _thread: threading.Thread | None = None
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def now(self) -> Switches:
        """Say what is switched off, as of a second ago at most while the queue's server answers."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self.look()
                    self._thread = self._watching()
        return self._seen

    def _watching(self) -> threading.Thread:
        """Start the thread; a board that nobody holds any more ends it too."""
        ended = self._ended
        board = weakref.ref(self, lambda _board: ended.set())
        thread = threading.Thread(target=_watch, args=(board, ended), name="switches", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        """End the thread; what was seen last stays. A look at a server that does not answer is not waited for."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def change(self, step: Callable[[Switches], Switches]) -> Switches:
        """Change the state by ``step``, on the queue and in the file. Raises what ``step`` raises.

        Raises Unavailable where the queue's server is away: then it stands in the file, from which this home's gateway
        and workers take it, and from them the queue, once it is there again.
        """
        private_dir(self.file.parent)
        with FileLock(self.file.with_suffix(".lock"), mode=0o600):
            kept = _file_state(self.file)
            try:
                while True:
                    wanted = step(_later((kept, self._shared())))
                    if (found := self._raised(wanted)) == wanted:
                        break
                    kept = _later((kept, found))
            except Unavailable:
                _keep(self.file, step(kept))
                raise
            _keep(self.file, wanted)
        return wanted

    def read(self) -> Switches:
        """Read the later of the two states once. Raises Unavailable."""
        return _later((_file_state(self.file), self._shared()))

    def look(self) -> None:
        """Take the latest state, and put it where an older one is; what is away keeps nobody from the rest."""
        before = self._seen
        with contextlib.suppress(Exception):  # a look that fails is followed by the next one
            kept = _file_state(self.file)
            self._seen = _later((before, kept))
            shared = self._shared()
            self._seen = latest = _later((self._seen, shared))
            if latest.serial > shared.serial:
                self._raised(latest)
            if latest.serial > kept.serial:
                _keep(self.file, latest)
        if self._seen.serial != before.serial:
            get_log().info("switches", disabled=list(self._seen.disabled), serial=self._seen.serial)

    def _shared(self) -> Switches:
        with reached():
            raw: Any = self.client.get(_KEY)
        return read_switches(raw)

    def _raised(self, wanted: Switches) -> Switches:
        """Put a state on the queue unless a later one, or another of its serial, is there; returns what is there."""
        with reached():
            raw: Any = self.client.eval(_RAISE, 1, _KEY, wanted.serial, wanted.packed())
        return read_switches(raw)


def _watch(board: weakref.ref[SwitchBoard], ended: threading.Event) -> None:
    """Look once a second, until the board is closed or nobody holds it any more."""
    while not ended.wait(LOOK_EVERY):
        if (held := board()) is None:
            return
        held.look()
        del held


def checked_target(model: str, known: Iterable[str]) -> str:
    """Check what is to be switched off: EVERY, or a name. A name that this machine's registry does not know, if it
    knows any, is refused, for nothing would stop. Raises BadOption.
    """
    names = sorted(known)
    if model != EVERY and (not is_name(model) or (names and model not in names)):
        raise BadOption(f"there is no model {model[:64]!r}", f"Give one of {', '.join([*names, EVERY])}.")
    return model


def _later(states: Iterable[Switches]) -> Switches:
    """Choose the latest state. Of several that were made apart, while the queue was away, all that any stops is off."""
    found = tuple(states)
    serial = max(state.serial for state in found)
    last = {state.disabled for state in found if state.serial == serial}
    if len(last) == 1:
        return Switches(serial, last.pop())
    return Switches(serial + 1, tuple(sorted(set().union(*last))))


def _file_state(file: Path) -> Switches:
    try:
        with file.open("rb") as stream:
            return read_switches(stream.read(_CAP))
    except OSError:
        return Switches()


def _keep(file: Path, state: Switches) -> None:
    with contextlib.suppress(OSError, ConfigurationError):  # a home that is read-only still has the queue
        write_atomic(file, state.packed().encode(), mode=0o600)
