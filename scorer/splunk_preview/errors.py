"""What is wrong with a search, a macro or a conf file."""

from __future__ import annotations

from scorer.wire.errors import BadInput


class SplError(BadInput):
    """SPL that is wrong, or outside the subset that is understood here. Nothing unknown is ever skipped."""

    code = "spl"


class ConfError(BadInput):
    """A Splunk conf file that cannot be read strictly."""

    code = "conf"
