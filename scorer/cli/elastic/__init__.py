"""`qscore elastic`: the Elastic edge. The commands live in `elastic_connector`, loaded when one of them runs."""

from __future__ import annotations

import typer

from scorer.cli.elastic import assets as elastic_assets
from scorer.cli.elastic import doctor as elastic_doctor
from scorer.cli.elastic import history as elastic_history
from scorer.cli.elastic import run as elastic_run

__all__ = ["elastic_app", "register"]

elastic_app = typer.Typer(
    help="Elasticsearch: install the assets, score documents as they arrive, look after both.", no_args_is_help=True
)
elastic_assets.register(elastic_app)
elastic_doctor.register(elastic_app)
elastic_run.register(elastic_app)
elastic_history.register(elastic_app)


def register(app: typer.Typer) -> None:
    """Add `qscore elastic` to the command line."""
    app.add_typer(elastic_app, name="elastic")
