"""The parts of a recipe: fields, port classes, inputs and features."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field as Key

from scorer.rows.recipe.reading import Line, Name, Number, Part, Tables, Texts, choice, whole, wholes

MAX_PORT = 65535
INPUTS_OF_OP = {"identity": 1, "log1p": 1, "ratio": 2}

_Port = Annotated[int, whole(0, MAX_PORT)]


class Field(Part):
    """A field of events and the names that people's data has for it; the first one present and non-empty wins.

    ``normalise``: ``account`` (lower case, without the part after "@") or empty. ``scale_ecs``: factor on ECS values.
    """

    name: Name
    splunk: Texts = ()
    ecs: Texts = ()
    zeek: Texts = ()
    windows: Texts = ()
    normalise: Annotated[str, choice("", "account")] = ""
    scale_ecs: Number = 1.0

    @property
    def account(self) -> bool:
        """True where values are account names: lower case, without the part after "@"."""
        return self.normalise == "account"


class Condition(Part):
    """True where ``field`` holds one of ``values`` (compared as text)."""

    field: Name
    values: Texts = Key(alias="in")


class Bin(Part):
    """Ports of one class: the listed ones and, where ``low`` <= ``high``, that range with both its ends."""

    always: ClassVar[frozenset[str]] = frozenset(("ports",))

    name: Name = Key(alias="is")
    ports: Annotated[tuple[int, ...], wholes(0, MAX_PORT)] = ()
    low: _Port = Key(1, alias="from")
    high: _Port = Key(0, alias="to")


class PortClass(Part):
    """Fixed bins of a port field; the first bin that holds the port wins, ``default`` stands for all other values."""

    always: ClassVar[frozenset[str]] = frozenset(("bins",))

    name: Name
    of: Name
    default: Name
    bins: Annotated[tuple[Bin, ...], Tables] = ()


class Input(Part):
    """A column of a row: one aggregate over the events of a window.

    ``where``: ANDed. ``over``: group by these keys within the window instead of the row's. ``missing``: what an absent
    cell means (``reject``: the row is not scored; ``zero``: none was seen). ``minimum``: smallest possible value.
    """

    always: ClassVar[frozenset[str]] = frozenset(("unit", "min", "description"))

    name: Name
    op: Annotated[str, choice("count", "dc", "sum", "min", "max")]
    field: Line = ""
    where: Annotated[tuple[Condition, ...], Tables] = ()
    over: Texts = ()
    unit: Line = ""
    missing: Annotated[str, choice("reject", "zero")]
    minimum: Number = Key(0.0, alias="min")
    description: Line = ""

    @property
    def zero(self) -> bool:
        """True where an absent value means that none was seen."""
        return self.missing == "zero"


class Feature(Part):
    """A number that the model sees. ``group``: features that an experiment leaves out together."""

    name: Name
    op: Annotated[str, choice(*INPUTS_OF_OP)]
    of: Texts
    phrase: Line
    group: Line = ""
