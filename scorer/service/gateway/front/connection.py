"""One connection from its handshake to its end: request after request, each step under a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from email.utils import formatdate

from werkzeug.http import HTTP_STATUS_CODES

from scorer.logs import get_log
from scorer.service.gateway.front.application import Application
from scorer.service.gateway.front.bodies import FREE_BYTES, BodyRooms, HeldBody, Incoming, Pace
from scorer.service.gateway.front.census import Guest, Stage
from scorer.service.gateway.front.discard import Discard
from scorer.service.gateway.front.gate import Gate, Peer, Permit, RequestHead
from scorer.service.gateway.front.heads import read_head
from scorer.service.gateway.front.notices import End, Notices
from scorer.service.gateway.front.presence import CallerLeft, Presence
from scorer.service.gateway.front.refusals import Answer, problem_answer, refusal
from scorer.service.gateway.front.rest import Rest
from scorer.wire.errors import QScoreError
from scorer.wire.names import HEADER_RELEASE
from scorer.wire.release import RELEASE

_PIECE = 256 * 1024
_HEALTH = b'{"status":"up"}\n'
_HEALTH_HEADERS = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    (HEADER_RELEASE, RELEASE),
    ("Content-Length", str(len(_HEALTH))),
)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """Seconds and speeds. ``head``: of handshake and head together. ``idle``: between two requests."""

    head: float
    idle: float
    pace: Pace


@dataclass(frozen=True)
class House:
    """What all connections of one server share. ``slots``: those of ``threads`` that are free, for requests that have a
    place. ``patient``: for others that may wait; ``quick``: for those that do not."""

    gate: Gate
    application: Application
    rooms: BodyRooms
    limits: Limits
    notices: Notices
    discard: Discard
    rest: Rest
    slots: asyncio.Semaphore
    threads: Executor
    patient: Executor
    quick: Executor


class Connection:
    """One caller's connection, after its handshake."""

    def __init__(
        self,
        house: House,
        guest: Guest,
        peer: Peer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        presence: Presence,
    ) -> None:
        self._house = house
        self._guest = guest
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self._presence = presence
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        writer.transport.set_write_buffer_limits(high=_PIECE)

    def stop(self) -> None:
        """End after the request that is under way, at once where there is none."""
        self._stopping = True
        if not self._guest.asks:
            self._guest.leave()

    async def serve(self, head_until: float) -> None:
        """Answer requests until either side ends it. ``head_until``: loop time by which the first head is there."""
        self._enter(Stage.HEAD)
        head = await self._head(head_until)
        while head is not None and await self._answered(head) and not self._stopping:
            head = await self._next_head()

    async def _next_head(self) -> RequestHead | None:
        """Wait for the next request: long for its first byte, then as for the first one."""
        self._enter(Stage.IDLE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._house.limits.idle):
                first = await self._reader.read(1)
            if first:
                self._enter(Stage.HEAD)
                return await self._head(self._loop.time() + self._house.limits.head, first)
        return None

    async def _head(self, until: float, first: bytes = b"") -> RequestHead | None:
        """Read a head; what is none gets its answer here."""
        try:
            async with asyncio.timeout_at(until):
                head = await read_head(self._reader, self._peer, first)
        except TimeoutError:
            self._house.notices.note(End.HEAD_TIMED_OUT, self._peer.address)
            late = refusal(408, f"no whole request came within {self._house.limits.head:g} s", "Send it at once.")
            with contextlib.suppress(ConnectionError):
                await self._send(problem_answer(late), keep=False)
            return None
        except QScoreError as error:
            self._house.notices.note(End.HEAD_REFUSED, self._peer.address, status=error.status, detail=error.detail)
            await self._send(problem_answer(error), keep=False)
            await self._house.discard.rest(self._reader, None)
            return None
        self._enter(Stage.BUSY)
        return head

    async def _answered(self, head: RequestHead) -> bool:
        """Answer one request; gives whether the connection goes on."""
        if head.path == "/healthz" and head.method in ("GET", "HEAD") and not head.length:
            self._enter(Stage.LOOSE)
            return await self._send(_to(head, Answer(200, _HEALTH_HEADERS, _HEALTH)), head.keep_alive)
        started = time.perf_counter()
        try:
            permit = await self._admitted(head)
        except QScoreError as error:
            await self._house.gate.refused(head, error, time.perf_counter() - started)
            return await self._refuse(head, error)
        try:
            with self._house.rest.after(head.length or 0):
                return await self._permitted(head, permit, started)
        finally:
            permit.release()

    async def _admitted(self, head: RequestHead) -> Permit:
        expected = head.header("expect")
        if expected is not None and expected.lower() != "100-continue":
            raise refusal(417, f"Expect: {expected[:40]!r} is not known here", "Send 100-continue, or none.")
        try:
            permit = await self._house.gate.admit(head)
        except QScoreError:
            raise
        except Exception as error:
            reference = uuid.uuid4().hex[:12]
            get_log().error("failed", reference=reference, exc_info=error)
            raise QScoreError(f"the gateway failed (reference {reference})", "Look for it in its log.") from None
        if expected is not None and head.length:
            self._writer.write(_CONTINUE)
        return permit

    async def _permitted(self, head: RequestHead, permit: Permit, started: float) -> bool:
        incoming = Incoming(self._house.rooms, head.length or 0)
        try:
            self._enter(Stage.BUSY if permit.known else Stage.LOOSE)
            await incoming.receive(self._reader, self._house.limits.pace)
            self._enter(Stage.BUSY)
            async with self._presence.awaited():
                await permit.turn()
            held = await incoming.load()
        except CallerLeft as error:
            return await self._left(head, error, started)
        except QScoreError as error:
            self._note_body(error, head)
            await self._house.gate.refused(head, error, time.perf_counter() - started)
            await self._send(_to(head, problem_answer(error)), keep=False)
            if error.status == 503:
                await self._house.discard.rest(self._reader, None)
            return False
        finally:
            incoming.close()
        try:
            answer = await self._worked(head, permit, held)
        except CallerLeft as error:
            return await self._left(head, error, started)
        finally:
            held.free()
        self._enter(Stage.BUSY if permit.known else Stage.LOOSE)
        return await self._send(answer, head.keep_alive)

    async def _worked(self, head: RequestHead, permit: Permit, held: HeldBody) -> Answer:
        answer = self._house.application.answer
        if not permit.known:
            others = self._house.patient if permit.waits else self._house.quick
            return await self._loop.run_in_executor(others, answer, head, permit, held)
        async with self._house.slots:
            self._presence.check()  # it may have waited for its turn's room and thread
            return await self._loop.run_in_executor(self._house.threads, answer, head, permit, held)

    async def _left(self, head: RequestHead, error: CallerLeft, started: float) -> bool:
        """Note a request that nobody waits for any more; nothing of it has come onto the queue."""
        self._house.notices.note(End.CALLER_LEFT, self._peer.address)
        await self._house.gate.refused(head, error, time.perf_counter() - started)
        return False

    def _note_body(self, error: QScoreError, head: RequestHead) -> None:
        end = {408: End.BODY_TOO_SLOW, 400: End.BODY_BROKEN, 503: End.BODY_REFUSED}.get(error.status)
        if end is not None:
            self._house.notices.note(end, self._peer.address, announced=head.length, detail=error.detail)

    async def _refuse(self, head: RequestHead, error: QScoreError) -> bool:
        """Answer a refused request at once, then read its body away; after a large one the connection ends.

        A caller that finds the connection closed while it sends sees a broken connection, and never why it was refused.
        """
        length = head.length or 0
        small = length <= FREE_BYTES
        self._enter(Stage.LOOSE)
        goes_on = await self._send(_to(head, problem_answer(error)), head.keep_alive and small)
        if not small:
            self._house.notices.note(End.BODY_REFUSED, self._peer.address, announced=length, code=error.code)
        return await self._house.discard.rest(self._reader, length) and goes_on

    def _enter(self, stage: Stage) -> None:
        self._guest.enter(stage, self._loop.time())

    async def _send(self, answer: Answer, keep: bool) -> bool:
        """Send an answer; gives whether the connection can go on. A caller that does not read it is left."""
        keep = keep and not self._stopping
        self._writer.write(_response_head(answer, keep))
        pace, started, view = self._house.limits.pace, self._loop.time(), memoryview(answer.body)
        try:
            for start in range(0, len(view), _PIECE):
                self._writer.write(view[start : start + _PIECE])
                async with asyncio.timeout_at(started + pace.limit(start)):
                    await self._writer.drain()
        except TimeoutError:
            self._house.notices.note(End.ANSWER_TOO_SLOW, self._peer.address, bytes=len(view))
            self._guest.leave()
            return False
        return keep


def _to(head: RequestHead, answer: Answer) -> Answer:
    """Leave out the body of an answer to HEAD: its caller would take it for the beginning of the next answer."""
    return replace(answer, body=b"") if head.method == "HEAD" else answer


def _response_head(answer: Answer, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTP_STATUS_CODES.get(answer.status, 'Other')}"]
    lines += [f"{name}: {text}" for name, text in answer.headers]
    lines += [f"Date: {formatdate(usegmt=True)}", f"Connection: {'keep-alive' if keep else 'close'}"]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header of the answer has a line end in it")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
