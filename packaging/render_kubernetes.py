"""Writes packaging/kubernetes/*.yaml, plain manifests of what the Helm chart makes of its own values; needs helm.

python packaging/render_kubernetes.py [--out FOLDER] [--helm PROGRAM]
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE / "helm" / "qscore"
#: Template -> what is switched on for it. Workers keep their number of replicas where nothing scales them.
TEMPLATES = {
    "state": "",
    "gateway": "",
    "workers": "",
    "deliver": "deliver.enabled=true",
    "connector": "connector.enabled=true",
    "network": "",
    "autoscaling": "autoscaling.enabled=true",
}
_HEAD = """\
# Made by packaging/render_kubernetes.py from the chart in packaging/helm/qscore: change that, not this.
# Before `kubectl apply`: the image, and the Secrets that are named here (docs/operations.md, "On Kubernetes").
"""


def rendered(helm: str, template: str, switches: str) -> str:
    """What the chart makes of one template."""
    command = [helm, "template", "qscore", str(CHART), "--kube-version", "1.31.0"]
    command += ["--show-only", f"templates/{template}.yaml", *(["--set", switches] if switches else [])]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _HEAD + "".join(line for line in said.splitlines(keepends=True) if not line.startswith("# Source:"))


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "kubernetes")
    parser.add_argument("--helm", default="helm")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    for template, switches in TEMPLATES.items():
        (given.out / f"{template}.yaml").write_text(rendered(given.helm, template, switches), "utf-8")


if __name__ == "__main__":
    main()
