# SPDX-License-Identifier: Apache-2.0
"""A real control plane for tests: `billow up` with the simulator, on loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

READY_S = 90.0  # a busy machine is no failure
BILLOW = (sys.executable, "-m", "billow")


class ControlPlane:
    """A running one: where it answers, and its first admin's token."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path) -> None:
        self.process = process
        self.state = state
        self.url = (state / "url").read_text().strip()
        self.token = (state / "token").read_text().strip()

    def client(self, token: str | None = None, source: str = "127.0.0.1") -> httpx2.Client:
        """Return a client with a token; the admin's unless told, none for an empty one.

        Wrong tokens are limited per source: whoever shows some comes from an address of his own.
        """
        shown = self.token if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        transport = httpx2.HTTPTransport(local_address=source, trust_env=False, verify=False)
        return httpx2.Client(base_url=self.url, headers=headers, transport=transport, timeout=90)

    def token_for(self, role: str) -> str:
        """Return a new token with a role."""
        with self.client() as client:
            answer = client.post("/v1/tokens", json={"name": f"test-{role}", "role": role})
            return str(answer.json()["token"])


def environment(state: Path) -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BILLOW_")}
    return {**kept, "BILLOW_STATE_DIR": str(state), "TZ": "UTC", "NO_COLOR": "1"}


@contextmanager
def control_plane(
    state: Path, *options: str, program: Sequence[str] = BILLOW
) -> Iterator[ControlPlane]:
    """Run `billow up --engine sim` and end it as an operator would."""
    state.mkdir(exist_ok=True)
    command = [*program, "up", "--engine", "sim", "--state", str(state), "--port", "0", *options]
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=state, env=environment(state)
        )
    try:
        _await_address(process, state)
        yield ControlPlane(process, state)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            process.kill()


def _await_address(process: subprocess.Popen[bytes], state: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not (state / "url").exists():
        assert process.poll() is None, (state / "log").read_text()
        assert time.monotonic() < deadline, "the control plane did not start in time"
        time.sleep(0.02)
