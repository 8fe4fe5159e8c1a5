"""Generated requests against a real gateway: ``python -m tests.contract [--examples N] [--seed N]``.

Schemathesis reads the gateway's own OpenAPI description, makes requests that fit it and requests that do not, and holds
every answer against what the description says. Needs `st` of the environment .venv-contract (``make contract``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.running_stack import running_stack
from scorer.service.settings import load_settings
from tests.conftest import make_tiny_model, publish_model

HERE = Path(__file__).parent
ST = Path(".venv-contract/bin/st")
#: What every answer is held against: no 5xx that is a failure, statuses, media types, headers and bodies as described,
#: refusals without a key. That data which do not fit are refused is not among them: of a CSV body no schema can say
#: what fits.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
)


def main(arguments: list[str]) -> int:
    """Run them; the exit status is that of Schemathesis: 0 where every answer fits."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--examples", type=int, default=60, help="generated requests for each operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="qscore-contract-") as folder:
        home = Path(folder) / "home"
        publish_model(home, make_tiny_model())
        with running_stack(home, "--port", "0", "--workers", "1") as state:
            key = load_settings(home=home).local_key.read_text().strip()
            command = [
                str(ST), "--config-file", str(HERE / "schemathesis.toml"), "run", f"{state.url}/v1/openapi.json",
                "--header", f"Authorization: Bearer {key}",
                "--tls-verify", str(state.ca_file),
                "--checks", ",".join(CHECKS),
                "--max-examples", str(given.examples),
                "--seed", str(given.seed),
                "--request-timeout", "30",
                "--no-color",
            ]  # fmt: skip
            variables = os.environ | {"SCHEMATHESIS_HOOKS": "tests.contract.hooks"}
            return subprocess.run(command, check=False, env=variables).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
