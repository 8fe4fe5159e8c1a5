"""How workers take messages off the queue and hold them: kombu's Redis transport, with four differences.

- A message is taken and noted as held in one step of the server, so that none is lost between the two.
- Whoever holds a message renews its hold while it lives. So the visibility timeout is the time after which a dead
  worker, or one that lost its server, counts as such; a task may take longer.
- Taking, renewing, forgetting and giving back work on a server that is full, which is how it becomes empty again.
- A server that refuses (full disk, read-only, busy) is an outage that is waited out; it ends no worker.

The methods whose names begin with an underscore are kombu's own; tests on a real server hold them to kombu 5.7.
"""

# mypy: allow-untyped-calls
# kombu has no types.
from __future__ import annotations

import base64
import contextlib
import json
import time
from queue import Empty
from typing import Any, NamedTuple

import msgpack
from celery.app.amqp import AMQP
from kombu.connection import Connection, ConnectionPool, PooledConnection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import ResponseError

from scorer.logs import get_log
from scorer.service.queue.full_server import beyond
from scorer.service.queue.jobs import REPLY, REPLY_LIFE, WorkerReply
from scorer.service.queue.sealing.seal import NO_SEAL, Forged, Seal, unsealed
from scorer.wire.errors import Problem, Unavailable

#: Seconds for which a server that refused is left alone.
_REFUSED_PAUSE = 1.0
#: Messages that are given to others in one step; there is a next one two seconds later.
_RESTORED_AT_ONCE = 50

# KEYS: list, index of held messages, held messages. ARGV: epoch seconds, the queue. Answers with the message and the
# tag under which it is held; without one where it cannot be read: it is taken away all the same, and that is said.
_TAKE = """#!lua flags=allow-oom
local item = redis.call('LINDEX', KEYS[1], -1)
if not item then return false end
local text = item:sub(1, 4) == '\193qs1' and item:sub(45) or item
local read, message = pcall(cjson.decode, text)
local told = read and type(message) == 'table' and message['properties']
local tag = type(told) == 'table' and told['delivery_tag']
if type(tag) ~= 'string' then tag = false end
if tag then
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[3], tag, '[' .. item .. ', "", "' .. ARGV[2] .. '"]')
end
redis.call('RPOP', KEYS[1])
return {item, tag}
"""
# The same KEYS. ARGV: the tag of a message that is done.
_FORGET = """#!lua flags=allow-oom
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
"""
# The same KEYS. ARGV: how many messages to give back and then their tags. A message lies there as kombu writes it:
# [message, exchange, queue]; one of a queue that an earlier version had goes onto this lane's list.
_GIVE_BACK = """
local function give_back(tag)
    local held = redis.call('HGET', KEYS[3], tag)
    redis.call('ZREM', KEYS[2], tag)
    redis.call('HDEL', KEYS[3], tag)
    local item = held and held:match('^%[(.*), ?"[^"]*", ?"[^"]*"%]$')
    if item then redis.call('RPUSH', KEYS[1], item) end
end
"""
_REJECT = f"#!lua flags=allow-oom\n{_GIVE_BACK}\nfor _, tag in ipairs(ARGV) do give_back(tag) end"
# ARGV: epoch seconds, the timeout, most messages to give back, and the tags that the caller holds.
_RENEW = f"""#!lua flags=allow-oom
{_GIVE_BACK}
for at = 4, #ARGV do redis.call('ZADD', KEYS[2], 'XX', ARGV[1], ARGV[at]) end
local lost = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1] - ARGV[2], 'LIMIT', 0, ARGV[3])
for _, tag in ipairs(lost) do give_back(tag) end
return #lost
"""


class _Taken(NamedTuple):
    """A message as it lay on its list, and the tag under which the server notes it as held; None: it has none."""

    item: bytes
    tag: bytes | None


class QoS(kombu_redis.QoS):
    """Messages that this worker holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message that was taken; the server noted it in the same step."""
        self.held.add(delivery_tag)
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that is done. Where the server refuses, it comes again, and is known to be done then."""
        self.held.discard(delivery_tag)
        # kombu's transaction is refused by a Redis that is full, and what is done would come again and again.
        with self.channel.conn_or_acquire() as client:
            try:
                client.eval(_FORGET, 3, *self.channel.lane_keys(), delivery_tag)
            except ResponseError as error:
                get_log().warning("not_acknowledged", reason=str(error))
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or forget it."""
        if not requeue:
            self.ack(delivery_tag)
            return
        self.restore_by_tag(delivery_tag, leftmost=True)
        virtual.QoS.ack(self, delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:  # noqa: ARG002  # kombu's form
        """Give a message back; where the server refuses, it comes again when its hold ends."""
        self.held.discard(tag)
        with self.channel.conn_or_acquire(client) as connection:
            try:
                connection.eval(_REJECT, 3, *self.channel.lane_keys(), tag)
            except ResponseError as error:
                get_log().warning("not_given_back", reason=str(error))

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:  # noqa: ARG002  # kombu's form
        """Renew the hold on what is held here, and give back what nobody holds any more."""
        if not self.channel.lane_queue:
            return  # kombu looks as soon as it is connected; where messages belong is known a little later
        settings = (repr(time.time()), self.visibility_timeout, _RESTORED_AT_ONCE)
        with self.channel.conn_or_acquire() as client:
            try:
                lost = client.eval(_RENEW, 3, *self.channel.lane_keys(), *settings, *self.held)
            except ResponseError as error:
                get_log().warning("holds_not_renewed", reason=str(error))
                return
        if lost:
            get_log().warning("given_to_others", messages=lost)


class Channel(kombu_redis.Channel):
    """The consumer of one lane: one list, taken from its right end."""

    QoS = QoS
    seal = NO_SEAL
    _in_poll: Any
    _brpop_sent_at: Any
    lane_queue = ""
    _refused = ""
    _quiet_until = 0.0

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Consume the lane's queue; its messages are given back to it also when it is consumed no more."""
        self.lane_queue = queue
        return super().basic_consume(queue, *args, **kwargs)

    def _queue_bind(self, *_binding: Any) -> None:
        """Write no binding: messages name their list, and a full server would refuse, and with it the worker."""

    def _size(self, queue: str) -> int:
        """Count what waits, of one priority, as all here; kombu asks in a transaction whenever it declares a queue."""
        with self.conn_or_acquire() as client:
            return int(client.llen(queue))

    def lane_keys(self) -> list[str]:
        """Name the list, the index of held messages and the held messages, as the server knows them."""
        return [self.global_keyprefix + key for key in (self.lane_queue, self.unacked_index_key, self.unacked_key)]

    def _brpop_start(self, timeout: int | None = None) -> None:
        """Ask for word of a message. BLMOVE from the right end to the right end waits as BRPOP does, and takes none."""
        if time.monotonic() < self._quiet_until:
            return
        key = self.lane_keys()[0]
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self._in_poll.send_command("BLMOVE", key, key, "RIGHT", "RIGHT", timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        try:
            return self._taken(**options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _taken(self, **options: Any) -> bool:
        """Take the message of which there is word, if nobody was quicker. Raises Empty where there is none."""
        connection = self.client.connection
        try:
            if self.client.parse_response(connection, "BLMOVE", **options) is None:
                raise Empty
        except self.connection_errors:
            connection.disconnect()
            raise
        except ResponseError as error:
            return self._taken_from_full(error)
        taken = self._take()
        self._refused = ""
        return self._handed_on(taken)

    def _taken_from_full(self, refusal: ResponseError) -> bool:
        """Take a message although the server refuses to wait for one. Raises Empty where it refuses this too."""
        self._say_refused(refusal)
        taken = None
        try:
            taken = self._take()
        except ResponseError as error:
            self._say_refused(error)
        if taken is None:
            self._quiet_until = time.monotonic() + _REFUSED_PAUSE
            raise Empty
        return self._handed_on(taken)

    def _take(self) -> _Taken | None:
        with self.conn_or_acquire() as client:
            found = client.eval(_TAKE, 3, *self.lane_keys(), repr(time.time()), self.lane_queue)
        return None if found is None else _Taken(*found)

    def _handed_on(self, taken: _Taken | None) -> bool:
        """Give a message to the worker. One that cannot be read is said once and forgotten."""
        if taken is None:
            raise Empty
        item = taken.item
        try:
            message = json.loads(self.seal.open(self.lane_keys()[0], item))
            self.Message(message, channel=self)
        except Exception as error:
            why = error.sentence() if isinstance(error, Forged) else f"it cannot be read: {type(error).__name__}"
            get_log().error("message_refused", reason=why, bytes=len(item))
            if taken.tag is not None:
                self.qos.ack(taken.tag)
            self._tell_caller(item, why)
            raise Empty from None
        self.connection._deliver(message, self.lane_queue)
        return True

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # noqa: ARG002  # kombu's form
        """Put a message that Celery itself sends: a task again whose process was lost."""
        key = self.global_keyprefix + queue
        sealed = self.seal.close(key, json.dumps(message).encode())
        with self.conn_or_acquire() as client:
            # Before what waits, for its caller has waited long already; on a full server too, where it lay until now.
            beyond(client, ("RPUSH", key, sealed))

    def _tell_caller(self, item: bytes, why: str) -> None:
        """Tell the caller of a message that nobody will run, as far as it can be read."""
        with contextlib.suppress(ValueError, KeyError, TypeError, IndexError, RecursionError):
            envelope = json.loads(unsealed(item))
            key = msgpack.unpackb(base64.b64decode(envelope["body"]))[1]["reply_key"]
            if isinstance(key, str) and key.startswith(REPLY):
                self._answer(key, Unavailable(f"a worker refused the batch: {why}"))

    def _answer(self, key: str, error: Unavailable) -> None:
        reply = self.seal.close(key, WorkerReply(problem=Problem.of(error)).pack())
        with self.conn_or_acquire() as client:
            beyond(client, ("RPUSH", key, reply), ("EXPIRE", key, REPLY_LIFE))

    def _say_refused(self, error: ResponseError) -> None:
        reason = str(error)
        if reason.split(maxsplit=1)[:1] != self._refused.split(maxsplit=1)[:1]:
            get_log().warning("queue_refuses", reason=reason)
        self._refused = reason


def lane_amqp(key_seal: Seal) -> type[AMQP]:
    """Make what a Celery application of a lane connects with: kombu's transport with our channel."""

    class SealedChannel(Channel):
        seal = key_seal

    class Transport(kombu_redis.Transport):
        Channel = SealedChannel

    class LanePooled(PooledConnection):
        def get_transport_cls(self) -> type[Transport]:
            return Transport

    class LanePool(ConnectionPool):
        def new(self) -> LanePooled:
            return LanePooled(self, **dict(self.connection._info(resolve=False)))

    class LaneConnection(Connection):
        def get_transport_cls(self) -> type[Transport]:
            return Transport

        # What Celery sends by itself goes out on pooled connections, which kombu makes of its own class.
        def Pool(self, limit: int | None = None, **more: Any) -> LanePool:  # noqa: N802  # kombu's name
            return LanePool(self, limit, **more)

    class LaneAMQP(AMQP):  # type: ignore[misc]
        Connection = LaneConnection

    return LaneAMQP
