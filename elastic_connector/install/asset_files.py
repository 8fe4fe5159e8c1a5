"""What `qscore elastic install` puts into a cluster, made from the folder ``assets``. Pure: nothing here is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from string import Template
from typing import Any, Final, Literal

from elastic_connector.install.privileges import STATE_INDEX
from elastic_connector.install.score_fields import assets_folder, mappings

Kind = Literal["component_template", "ingest_pipeline", "index_template", "index"]

MANAGED_BY: Final = "qscore"


@dataclass(frozen=True)
class Names:
    """What the installed things are called. Another ``prefix`` keeps a second installation apart (tests use one)."""

    prefix: str = "qscore"
    state_index: str = STATE_INDEX

    @property
    def scores(self) -> str:
        """Return the scores' data stream without its namespace; also the index template's name, as Fleet calls it."""
        return f"logs-{self.prefix}.scores"

    @property
    def mappings_template(self) -> str:
        return f"{self.prefix}@mappings"

    @property
    def settings_template(self) -> str:
        """Return the name of the component with settings and retention, which stand apart from the index template:
        what stands in that one would take precedence over the user's own component.
        """
        return f"{self.prefix}@settings"

    @property
    def custom_template(self) -> str:
        """Return the name of the user's own component template: composed last, never written, never removed."""
        return f"{self.scores}@custom"

    @property
    def source_pipeline(self) -> str:
        """Return the name of the pipeline that sets event.ingested on documents of a source that lacks it; the user
        names it as their final pipeline.
        """
        return f"{self.prefix}-event-ingested"


STANDARD: Final = Names()


@dataclass(frozen=True)
class Asset:
    """One thing in the cluster: ``body`` is what is sent to create it, without our mark."""

    kind: Kind
    name: str
    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the content, which tells an untouched asset from one that somebody changed."""
        return content_digest(self.body)

    def marked(self) -> dict[str, Any]:
        """Return the body with our mark: whose it is, of which version, and what its content was."""
        mark = {"managed_by": MANAGED_BY, "version": product_version(), "sha256": self.digest}
        body: dict[str, Any] = json.loads(json.dumps(self.body))
        (body["mappings"] if self.kind == "index" else body)["_meta"] = mark
        return body


@dataclass(frozen=True)
class Capabilities:
    """What the server can do that not every server can."""

    constant_keyword: bool = True


def product_version() -> str:
    """Return the version of this installation."""
    return metadata.version("qscore")


def content_digest(body: Any) -> str:
    """Return the SHA-256 over canonical JSON."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def cluster_assets(capabilities: Capabilities, names: Names = STANDARD) -> tuple[Asset, ...]:
    """Return everything of Elasticsearch's own, in the order in which it must be made."""
    template = {"template": {"mappings": mappings(capabilities.constant_keyword, names.prefix)}}
    pipelines = _json("pipelines.json", names)
    return (
        Asset("component_template", names.settings_template, _json("settings.json", names)),
        Asset("component_template", names.mappings_template, template),
        *(Asset("ingest_pipeline", name, body) for name, body in pipelines.items()),
        Asset("index_template", names.scores, _json("index_template.json", names)),
        Asset("index", names.state_index, _json("state_index.json", names)),
    )


def _json(file: str, names: Names) -> dict[str, Any]:
    text = Template((assets_folder() / file).read_text(encoding="utf-8"))
    return dict(json.loads(text.substitute(prefix=names.prefix, scores=names.scores)))
