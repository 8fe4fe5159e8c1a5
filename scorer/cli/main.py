"""Entry point of the `qscore` command."""

from __future__ import annotations

import typer

from scorer.cli import (
    delivery,
    elastic,
    import_qsvc,
    keys,
    models,
    score,
    shots,
    splunk,
    stack,
    terminal,
    training,
    trust,
)
from scorer.cli.upkeep import backup, closing, mending
from scorer.wire.errors import BadOption, QScoreError

_HELP = """Quantum-kernel scores for the events that a SOC already searches, simulated exactly on classical processors.

\b
Start here:
  qscore train --model lateral     train a starter model (or one on your own rows)
  qscore up                        start queue, gateway and workers on this machine
  qscore score rows.csv            score a file
  qscore status                    what runs, and what does not
  qscore audit                     who made, changed or removed what

\b
Then, in the SIEM:
  | qscore model=lateral           in a Splunk search, with the app and a key of `qscore key new`
  qscore elastic install           in Elasticsearch: templates, keys, rules; then `qscore elastic run`

Everything lives in one folder, ~/.local/share/qscore or QSCORE_HOME; settings are in its qscore.toml.
"""


def build() -> typer.Typer:
    """Build the command with all its topics."""
    app = typer.Typer(
        name="qscore", help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    upkeep = (backup, closing, mending)
    for topic in (stack, score, models, keys, training, import_qsvc, shots, delivery, trust, splunk, elastic, *upkeep):
        topic.register(app)
    return app


def main() -> None:
    """Run the command. A QScoreError is one line on standard error.

    Raises SystemExit with exit code 1, or 2 for a bad option.
    """
    try:
        build()()
    except QScoreError as error:
        terminal.say(f"qscore: {error.sentence()}", err=True)
        raise SystemExit(2 if isinstance(error, BadOption) else 1) from None


if __name__ == "__main__":
    main()
