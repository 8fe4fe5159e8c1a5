"""What an administrator sets up once before documents are scored: qscore.toml, the runtime key, the source's template.

Said once for the demo, the benchmark and the tests on a real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from elasticsearch import Elasticsearch

from demo.elastic_documents import MAPPINGS
from elastic_connector.install.asset_files import STANDARD
from elastic_connector.install.privileges import runtime_role
from scorer.service.access.api_keys import write_private

#: Scores and rows that could not be scored; the connector's heartbeats stand in the same stream and are neither.
SCORES_QUERY: Final[dict[str, Any]] = {"bool": {"must_not": [{"term": {"event.kind": "metric"}}]}}


@dataclass(frozen=True)
class Source:
    """One ``[[elastic.sources]]``: ``index`` may be a pattern or a data stream."""

    name: str
    index: str
    model: str


def settings_text(url: str, key_file: Path, namespace: str, sources: Iterable[Source], **elastic: Any) -> str:
    """qscore.toml of one machine that writes to Elasticsearch; ``elastic``: further settings of that table."""
    values = {"url": url, "api_key_file": str(key_file), "namespace": namespace, **elastic}
    tables = ["[elastic]\n" + _lines(values)]
    tables += ["[[elastic.sources]]\n" + _lines(asdict(source)) for source in sources]
    return "\n".join(['sink = "elastic"\n', *tables])


def _lines(values: Mapping[str, Any]) -> str:
    """TOML of plain values: JSON writes strings, numbers and booleans as TOML does."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def write_runtime_key(admin: Elasticsearch, name: str, indices: Iterable[str], path: Path) -> None:
    """An API key with what the running connector may do with these sources, in a file that its owner alone reads."""
    made = admin.security.create_api_key(name=name, role_descriptors={name: runtime_role(indices)})
    write_private(path, str(made["encoded"]).encode())


def put_source_template(admin: Elasticsearch, name: str, stream: str) -> None:
    """Makes ``stream`` a data stream of ECS documents, each stamped with the time of its arrival."""
    settings = {"index": {"final_pipeline": STANDARD.source_pipeline, "number_of_replicas": 0}}
    admin.indices.put_index_template(
        name=name,
        index_patterns=[stream],
        data_stream={},
        priority=500,
        template={"mappings": MAPPINGS, "settings": settings},
    )
