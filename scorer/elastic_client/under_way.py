"""Which requests of ours a cluster is still working on, although nobody waits for their answers.

A bulk request whose connection was lost may wait in the cluster, for a shard or for a queue, and be carried out later
than a look-up that did not find its documents. Every bulk request carries a tag (``X-Opaque-Id``), which the cluster
shows with each of its tasks, those on other nodes included.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from elasticsearch import Elasticsearch

from scorer.elastic_client.failures import ElasticBusy, Missing, RefusedRequest, reached
from scorer.logs import get_log
from scorer.wire.errors import Forbidden, NonsenseReply

_BULK = "indices:data/write/bulk*"


def bulk_tasks(client: Elasticsearch, tag: str, for_seconds: float = 0.0) -> frozenset[str]:
    """Find tasks of bulk requests with ``tag`` that have run for so long, wherever and by whomever they were sent.

    Empty also where the cluster does not tell (no privilege ``monitor``; serverless): then what a caller gains is lost,
    and nothing else. Raises ElasticBusy where a node did not answer, and what ``reached`` and NonsenseReply are for.
    """
    try:
        with reached("list the requests that are under way", "cluster privilege monitor"):
            answer: Any = client.perform_request(
                "GET",
                "/_tasks",
                params={"actions": _BULK, "group_by": "none"},
                headers={"accept": "application/json"},
            ).body
    except (Forbidden, Missing, RefusedRequest) as error:
        _say_once(error.sentence())
        return frozenset()
    listed = answer.get("tasks") if isinstance(answer, Mapping) else None
    if not isinstance(listed, list):
        raise NonsenseReply("Elasticsearch's list of tasks has not its form")
    if answer.get("node_failures") or answer.get("task_failures"):
        raise ElasticBusy("not every node says which requests are under way", "It is asked again.")
    return frozenset(_name(task) for task in listed if _tag(task) == tag and _seconds(task) >= for_seconds)


@lru_cache(maxsize=16)
def _say_once(reason: str) -> None:
    get_log().warning("requests_not_listed", reason=reason)


def _name(task: Mapping[str, Any]) -> str:
    return f"{task.get('node')}:{task.get('id')}"


def _tag(task: Any) -> Any:
    headers = task.get("headers") if isinstance(task, Mapping) else None
    return headers.get("X-Opaque-Id") if isinstance(headers, Mapping) else None


def _seconds(task: Mapping[str, Any]) -> float:
    """Return how long a task has run; without end where that is not said, so that it is waited for."""
    nanoseconds = task.get("running_time_in_nanos")
    return nanoseconds * 1e-9 if isinstance(nanoseconds, int) else float("inf")
