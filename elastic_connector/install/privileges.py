"""What the two API keys of the Elastic edge may do, and nothing more. Pure data; `keys` turns it into requests.

The installer key is used by an administrator, for `qscore elastic install` and `uninstall`. The runtime key is used by
the connector and the delivery worker all day: it cannot change a template, cannot delete a document and cannot read
what no source names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from scorer.elastic_client.names import SCORES_STREAM

STATE_INDEX: Final = "qscore-state"
SCORES_STREAMS: Final = SCORES_STREAM + "-*"

#: One role of `role_descriptors` in a request for an API key.
Role = dict[str, Any]


def runtime_role(
    sources: Iterable[str] = ("logs-*",), state_index: str = STATE_INDEX, scores: str = SCORES_STREAMS
) -> Role:
    """Return the role of the runtime key: reads ``sources`` (index patterns), creates scores, keeps the connector's
    state.

    Patterns that exclude (``-logs-qscore.*``) grant nothing and are left out.
    """
    parts = {part for pattern in sources for part in pattern.split(",")}
    read = sorted(part for part in parts if part and not part.startswith("-"))
    indices: list[dict[str, Any]] = [
        # create_doc alone: a score is never overwritten and never deleted. read: ids are looked up before a repeated
        # write, because a data stream keeps ids apart only within one backing index.
        {"names": [scores], "privileges": ["create_doc", "auto_configure", "read", "view_index_metadata"]},
        # The checkpoint is one document that is replaced under sequence-number guards.
        {"names": [state_index], "privileges": ["read", "write", "view_index_metadata"]},
    ]
    if read:
        indices.insert(0, {"names": read, "privileges": ["read", "view_index_metadata"]})
    # monitor: the server's version, its clock, its tiers. Nothing is changed with it.
    return {"cluster": ["monitor"], "indices": indices}


def installer_role(state_index: str = STATE_INDEX, scores: str = SCORES_STREAMS) -> Role:
    """Return the role of the installer key: templates, pipelines, and the two places that qscore owns."""
    return {
        "cluster": ["monitor", "manage_index_templates", "manage_ingest_pipelines", "manage_own_api_key"],
        "indices": [{"names": [scores, state_index], "privileges": ["manage", "read", "view_index_metadata"]}],
    }


#: The roles with their defaults.
RUNTIME: Final[Role] = runtime_role()
INSTALLER: Final[Role] = installer_role()
