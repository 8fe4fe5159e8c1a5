"""A subset of SPL, enough to run this product's own macros and searches over events without Splunk.

Used by `qscore splunk preview`, the demo and the tests. Results are those of a subset, not of Splunk.
"""

from scorer.spl.conf import Conf, parse_conf, read_conf
from scorer.spl.environment import Environment, Hook, Rows, hec_rows, newest_first
from scorer.spl.errors import ConfError, SplError
from scorer.spl.pipeline import compile_pipeline, run
from scorer.spl.values import Row, Value

__all__ = [
    "Conf",
    "ConfError",
    "Environment",
    "Hook",
    "Row",
    "Rows",
    "SplError",
    "Value",
    "compile_pipeline",
    "hec_rows",
    "newest_first",
    "parse_conf",
    "read_conf",
    "run",
]
