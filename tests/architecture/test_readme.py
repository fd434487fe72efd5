# SPDX-License-Identifier: Apache-2.0
"""The README's commands do what it says. CI runs the second, `./dev test`, on a clean checkout."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 240  # a first start may install packages
POOL = "readme"


def commands() -> list[str]:
    """Return the commands of the README's first shell block, without their remarks."""
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    return [line.split("#")[0].strip() for line in block.group(1).splitlines() if line.strip()]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return an environment that keeps apart from a Billow of this machine; remove its networks."""
    apart = {"STATE_DIR": str(tmp_path / "state"), "PORT": "0", "POOL": POOL}
    yield os.environ | {f"BILLOW_{name}": value for name, value in apart.items()}
    listing = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        if line.startswith(f"bw-{POOL}-"):
            subprocess.run(["ip", "netns", "del", line.split()[0]], check=True)


def test_readme_names_two_commands() -> None:
    assert commands() == ["./dev up", "./dev test"]


@pytest.mark.slow
@pytest.mark.qemu
def test_first_command_brings_a_cloud(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        commands()[0].split(), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        limit = threading.Timer(LONGEST_S, process.kill)
        limit.start()
        try:
            assert process.stdout
            told = []
            for line in process.stdout:
                told.append(line)
                if line.startswith("stop"):
                    break
            address = re.search(r"http://127\.0\.0\.1:\d+", "".join(told))
            assert address, "".join(told)
            assert httpx2.get(f"{address.group()}/healthz", timeout=10).status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            limit.cancel()
            process.kill()
    assert told[0] == "billow is up: 3 hosts, 0 instances\n"
