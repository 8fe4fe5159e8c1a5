"""Fields of the scores' documents, from ``assets/fields.toml``: mappings, package files and checks come from here."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

#: Longest keyword that is indexed; a longer value stays in _source. Lucene refuses terms above 32,766 bytes.
IGNORE_ABOVE = 8191


@dataclass(frozen=True)
class DocumentField:
    """One field: dotted name, Elasticsearch type, what it means. ``value``: of a constant, where it has one."""

    name: str
    type: str
    meaning: str
    constant: bool = False
    value: str = ""


def assets_folder() -> Traversable:
    """The folder from which everything that is installed or packaged is made."""
    return resources.files("elastic_connector") / "assets"


@functools.cache
def document_fields() -> tuple[DocumentField, ...]:
    """All fields, by name."""
    raw = tomllib.loads((assets_folder() / "fields.toml").read_text(encoding="utf-8"))
    constants = [
        DocumentField(name, "constant_keyword", meaning, constant=True, value=value)
        for name, (value, meaning) in raw["constant"].items()
    ]
    plain = [DocumentField(name, kind, meaning) for name, (kind, meaning) in raw["fields"].items()]
    return tuple(sorted([*constants, *plain], key=lambda field: field.name))


def field_types() -> dict[str, str]:
    """Dotted name -> type, of every field that may be searched."""
    return {field.name: field.type for field in document_fields()}


def mappings(
    constant_keyword: bool = True, prefix: str = "qscore", only: Collection[str] | None = None
) -> dict[str, Any]:
    """The mapping of a score document. Without ``constant_keyword`` (a server that lacks the type) it is keyword.

    ``prefix``: of the dataset's name, which the constant data_stream.dataset must agree with. ``only``: these fields
    alone; None: all.
    """
    properties: dict[str, Any] = {}
    for field in document_fields():
        if only is not None and field.name not in only:
            continue
        *parents, leaf = field.name.split(".")
        level = properties
        for parent in parents:
            level = level.setdefault(parent, {}).setdefault("properties", {})
        level.setdefault(leaf, {}).update(_mapping(field, constant_keyword, prefix))
    return {"dynamic": "false", "properties": properties}


def _mapping(field: DocumentField, constant_keyword: bool, prefix: str) -> dict[str, Any]:
    if field.constant and constant_keyword:
        value = field.value.replace("qscore", prefix)
        return {"type": field.type} | ({"value": value} if value else {})
    if field.constant:
        return {"type": "keyword"}
    if field.type == "keyword":
        return {"type": "keyword", "ignore_above": IGNORE_ABOVE}
    return {"type": field.type}


def leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, type) of every field of a mapping's ``properties``, as a server may return them."""
    for name, body in properties.items():
        if not isinstance(body, Mapping):
            continue
        inner = body.get("properties")
        if isinstance(inner, Mapping):
            yield from leaves(inner, f"{prefix}{name}.")
        if "type" in body and body["type"] != "object":
            yield prefix + name, str(body["type"])
