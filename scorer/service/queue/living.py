"""Who works on the queue: living workers say their processes and their release beside their name."""

from __future__ import annotations

from scorer.wire.release import RELEASE, stated

#: Before a lane's name: its living workers, each with the epoch second at which it counts as gone.
WORKERS = "qscore:workers:"
#: Seconds after which a silent worker counts as gone. Its event loop beats every two seconds.
HEARTBEAT_LIFE = 12.0
HEARTBEAT_EVERY = 2.0


def worker_name(host: str, pid: int, processes: int) -> str:
    """Name a worker among those that live, with the number of its processes."""
    return f"{host}:{pid}*{processes}"


def member(worker: str) -> str:
    """Name a worker as it beats, with its release; those before 0.2.0 said their name alone."""
    return f"{worker} {RELEASE}"


def processes_of(name: bytes) -> int:
    """Read the number of processes in a worker's name; workers of 0.1.0 do not say it, and count as one."""
    name = name.partition(b" ")[0]  # its release stands behind
    number = name.rpartition(b"*")[2]
    return int(number) if b"*" in name and number.isdigit() else 1


def release_of(name: bytes) -> str:
    """Read the release in a worker's name; of one that says none, that it is from before 0.2.0."""
    return stated(name.decode("utf-8", "replace").partition(" ")[2] or None)
