"""What a caller may do: scopes, and the models and places of writing that they are bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scorer.service.settings import Settings
from scorer.wire.errors import BadOption, Forbidden
from scorer.wire.names import check_model_name

SCOPES = {
    "read": "list models and read their cards, and the metrics",
    "score": "score batches",
    "write": "score with write=true",
}
#: What a caller is bound to: names, or None where nothing binds it. An empty tuple allows nothing.
Bound = tuple[str, ...] | None
_LONGEST_NAME = 128


@dataclass(frozen=True)
class Target:
    """The place to which a gateway's rows are written with ``write=true``.

    ``kind``: ``index`` of the HTTP Event Collector, ``namespace`` of the data stream in Elasticsearch, or ``file``.
    ``name``: empty where the collector's token decides.
    """

    kind: Literal["index", "namespace", "file"]
    name: str


@dataclass(frozen=True)
class Rights:
    """Scopes, and what they are bound to: models, indexes of Splunk, data stream namespaces of Elastic."""

    scopes: tuple[str, ...]
    models: Bound = None
    indexes: Bound = None
    elastic_namespaces: Bound = None

    def check_scope(self, who: str, scope: str) -> None:
        """Raise Forbidden when ``scope`` is not among these rights. ``who`` has them, as in "key 1a2b3c4d"."""
        if scope not in self.scopes:
            raise Forbidden(
                f"{who} may not {SCOPES[scope]}",
                f"Make one that may: `qscore key new --scope {scope}`, beside the scopes that it needs already.",
            )

    def check_model(self, who: str, model: str) -> None:
        """Raise Forbidden when these rights are bound to other models."""
        if not self.covers(model):
            raise Forbidden(
                f"{who} is bound to the models {_listed(self.models)}, not {model[:80]!r}",
                "Name one of those, or make a key with `qscore key new --model NAME`.",
            )

    def covers(self, model: str) -> bool:
        """Tell whether these rights extend to a model."""
        return self.models is None or model in self.models

    def check_target(self, who: str, target: Target) -> None:
        """Raise Forbidden when rows may not be written where this gateway writes them.

        Who is bound to an index or a namespace writes nowhere else: not to the other kind of sink either.
        """
        indexes, namespaces = self._targets()
        if indexes is None:
            return
        if target.name not in ({"index": indexes, "namespace": namespaces}.get(target.kind) or ()):
            raise Forbidden(
                f"{who} is bound to {self._places()}, and this gateway writes to {_place(target)}",
                "Make a key for that place: `qscore key new --scope write --index NAME` or `--elastic-namespace NAME`.",
            )

    def within(self, other: Rights) -> Rights:
        """Give what is among both rights."""
        return Rights(
            tuple(scope for scope in self.scopes if scope in other.scopes),
            _common(self.models, other.models),
            *(_common(one, another) for one, another in zip(self._targets(), other._targets(), strict=True)),
        )

    def bindings(self) -> str:
        """Say in words what these rights are bound to; empty where nothing binds them."""
        named = (("models", self.models), ("indexes", self.indexes), ("Elastic namespaces", self.elastic_namespaces))
        return "; ".join(f"{what} {_listed(names)}" for what, names in named if names is not None)

    def _targets(self) -> tuple[Bound, Bound]:
        """Indexes and namespaces: neither is bound, or both are."""
        if self.indexes is None and self.elastic_namespaces is None:
            return None, None
        return self.indexes or (), self.elastic_namespaces or ()

    def _places(self) -> str:
        places = (("index", self.indexes), ("namespace", self.elastic_namespaces))
        return " and ".join(f"{what} {_listed(names)}" for what, names in places if names is not None)


def new_rights(
    scopes: Sequence[str],
    models: Sequence[str] = (),
    indexes: Sequence[str] = (),
    elastic_namespaces: Sequence[str] = (),
) -> Rights:
    """Make rights from what somebody typed; no names: unbound. Raises BadOption, UnknownModel."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise BadOption(
            f"scope {', '.join(unknown)[:80] or '(none)'} does not exist", f"Scopes are {', '.join(sorted(SCOPES))}."
        )
    for model in models:
        check_model_name(model)
    for name in (*indexes, *elastic_namespaces):
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise BadOption(f"{name[:80]!r} cannot be an index or a namespace", "Write its name as the sink has it.")
    return Rights(tuple(sorted(set(scopes))), _bound(models), _bound(indexes), _bound(elastic_namespaces))


def write_target(settings: Settings) -> Target:
    """Say where this gateway's rows are written with ``write=true``."""
    if settings.sink == "hec":
        return Target("index", settings.hec.index)
    if settings.sink == "elastic":
        return Target("namespace", settings.elastic.namespace)
    return Target("file", "")


def _common(one: Bound, other: Bound) -> Bound:
    if one is None or other is None:
        return other if one is None else one
    return tuple(name for name in one if name in other)


def _bound(names: Sequence[str]) -> Bound:
    return tuple(sorted(set(names))) or None


def _listed(names: Bound) -> str:
    return ", ".join(names or ()) or "(none)"


def _place(target: Target) -> str:
    if target.kind == "index" and not target.name:
        return "whatever index its collector's token says (hec.index is empty)"
    return f"{target.kind} {target.name}" if target.name else "a file"
