"""Commands about who may do what, and who did: the audit record, signing keys, aliases."""

from __future__ import annotations

import typer

from scorer.cli.trust import audit, signing


def register(app: typer.Typer) -> None:
    """Add the commands of this room to ``app``."""
    audit.register(app)
    signing.register(app)
