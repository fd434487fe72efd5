# SPDX-License-Identifier: Apache-2.0
"""OpenStack, O7: two commands from `pip install` to the first report of a cloud never seen before.

A virtual environment is made beforehand, as somebody who tries a tool has one. Then both commands
run as a person types them: nothing is cached by pip, no setting of Billow's exists, and the cloud
is the one that OS_CLIENT_CONFIG_FILE and OS_CLOUD name, or the lab that is up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from labs.openstack import Lab

from benchmarks.figure import Figure
from benchmarks.machine import ROOT

MOST_S = 60.0
OURS = ("BILLOW_", "PYTHONPATH", "VIRTUAL_ENV")
"""What a person who never had Billow does not have in the environment."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which cloud is looked at, and what is installed."""
    parser.add_argument("--cloud", default="", help="its name in clouds.yaml; the lab otherwise")
    parser.add_argument(
        "--package", default=f"{ROOT}[openstack]", help="what pip installs; this checkout otherwise"
    )


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure both commands, one after the other."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(OURS)
    } | cloud_of(arguments.cloud)
    with tempfile.TemporaryDirectory(prefix="billow-first-") as folder:
        made = Path(folder) / "venv"
        venv.create(made, with_pip=True)
        install: list[str | Path] = [
            made / "bin" / "pip",
            "install",
            "-q",
            "--no-cache-dir",
            arguments.package,
        ]
        page = Path(folder) / "report.html"
        report: list[str | Path] = [
            made / "bin" / "billow",
            "openstack",
            "report",
            "--json",
            "--html",
            page,
        ]
        install_s, _ = timed(install, environment, folder)
        report_s, said = timed(report, environment, folder)
        document = json.loads(said)
        assert "<h1>" in page.read_text()
    tell(document)
    seen = f"{document['hosts']} hosts, {document['instances']} instances"
    yield Figure("pip install", install_s, "s")
    yield Figure(f"first report, {seen}", report_s, "s")
    yield Figure("O7: install and first report, two commands", install_s + report_s, "s", MOST_S)


def cloud_of(name: str) -> dict[str, str]:
    """Return what names the cloud in the environment: the one that is asked for, or the lab."""
    if name:
        return {"OS_CLOUD": name}
    return {} if "OS_CLOUD" in os.environ else dict(Lab.found().environment)


def timed(command: list[str | Path], environment: dict[str, str], folder: str) -> tuple[float, str]:
    """Run a command; return how long it took, in seconds, and what it said."""
    begun = monotonic()
    done = subprocess.run(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    return monotonic() - begun, done.stdout


def tell(document: dict[str, object]) -> None:
    """Say what the report is about, beside the figures."""
    print(f"  {document['cloud']}: {document['took_s']}", file=sys.stderr)
