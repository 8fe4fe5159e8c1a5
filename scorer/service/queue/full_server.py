"""Steps that make room: they are done on a full server too, so that what lies there can leave it.

Batches and rows that are new are refused by a server without memory. Writing down that a row was delivered, that a
batch is answered, or who works on what, takes a few bytes and then frees many.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.exceptions import OutOfMemoryError
from redis.lock import Lock

# ARGV: for each command the number of its words, then the words.
_BEYOND = """#!lua flags=allow-oom
local at, answers = 1, {}
while at <= #ARGV do
    local words = tonumber(ARGV[at])
    answers[#answers + 1] = redis.call(unpack(ARGV, at + 1, at + words))
    at = at + words + 1
end
return answers
"""
Command = tuple[str | bytes | int | float, ...]


def in_one_step(client: redis.Redis, *commands: Command) -> list[Any]:
    """Run all commands or none, on a full server too. Returns their answers; raises what redis-py does."""
    try:
        with client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            return list(pipe.execute())
    except OutOfMemoryError:
        return beyond(client, *commands)


def beyond(client: redis.Redis, *commands: Command) -> list[Any]:
    """Run the commands in a script that may go beyond the server's limit; the transaction costs less where it does."""
    keys = list(dict.fromkeys(command[1] for command in commands))
    words = [word for command in commands for word in (len(command), *command)]
    answers: Any = client.eval(_BEYOND, len(keys), *keys, *words)
    return list(answers)


class FirmLock(Lock):
    """A lock of redis-py that is taken on a full server too."""

    def do_acquire(self, token: str) -> bool:
        """Take the lock if nobody has it."""
        life = int(1000 * float(self.timeout or 0))
        return bool(in_one_step(self.redis, ("SET", self.name, token, "NX", "PX", life))[0])
