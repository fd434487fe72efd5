# SPDX-License-Identifier: Apache-2.0
"""From nothing to a running VM: the control plane's start, and the first instance."""

import argparse
import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx2

from benchmarks.figure import Figure, Peer
from benchmarks.qemu_pool import bare_boots_s
from billow.engines.qemu.open import remove_pool
from billow.errors import Unavailable
from billow.settings import Settings

WAIT_S = 60.0
_BOUND = "import numpy, fastapi, uvicorn, sqlalchemy.ext.asyncio, pydantic_settings"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how often."""
    parser.add_argument("--times", type=int, default=5)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield medians; the first start of all, which probes the machine, stands apart."""
    folder = Path(tempfile.mkdtemp(prefix="billow-up-"))
    try:
        first_s, _ = _start_and_create(folder, "first")
        yield Figure("control plane ready, first start of all", first_s, "s", goal=3.0)
        runs = [_start_and_create(folder, f"vm-{n}") for n in range(arguments.times)]
    finally:
        asyncio.run(remove_pool(Settings(engine="qemu", state_dir=folder)))
        shutil.rmtree(folder, ignore_errors=True)
    ready_s, running_s = (median(column) for column in zip(*runs, strict=True))
    imports = Peer("python importing the same libraries", median(_imports_s() for _ in range(3)))
    yield Figure("control plane ready, median", ready_s, "s", goal=3.0, peer=imports)
    bare = Peer("bare QEMU to its first serial line", median(bare_boots_s(1) for _ in range(3)))
    yield Figure("first VM running after the request, median", running_s, "s", goal=2.0, peer=bare)


def _start_and_create(folder: Path, name: str) -> tuple[float, float]:
    """Return the seconds from start to readiness, and from a request to a live guest."""
    start = time.perf_counter()
    with _up(folder) as client:
        ready_s = time.perf_counter() - start
        start = time.perf_counter()
        shape = {"cpu_milli": 100, "memory_mib": 64}
        body = {"instances": [{"id": name, "shape": shape, "image": "firmware"}]}
        run = _asked(client, "POST", "/v1/instances?apply=true", body)
        serial = folder / "qemu" / "volumes" / name / "serial.log"
        _wait(lambda: serial.exists() and serial.stat().st_size > 0, f"{name} to speak")
        running_s = time.perf_counter() - start
        _wait(lambda: _ended(client, run), "the creation to end")
        run = _asked(client, "DELETE", f"/v1/instances/{name}?apply=true")
        _wait(lambda: _ended(client, run), "the deletion to end")
    return ready_s, running_s


@contextmanager
def _up(folder: Path) -> Iterator[httpx2.Client]:
    """Start `billow up` and yield a client when it is ready to answer; end it afterwards."""
    port = _free_port()
    command = [sys.executable, "-m", "billow", "up", "--port", str(port), "--state", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as client:
            _wait(lambda: _answers(client, process), "the control plane")
            token = (folder / "token").read_text().strip()
            client.headers["Authorization"] = f"Bearer {token}"
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)


def _answers(client: httpx2.Client, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None and process.stderr is not None:
        raise Unavailable("billow up ended", (process.stderr.read().decode()[-500:],))
    try:
        return client.get("/healthz").is_success
    except httpx2.TransportError:
        return False


def _asked(client: httpx2.Client, method: str, path: str, body: object = None) -> str:
    """Ask for a change and return the address of its run."""
    answer = client.request(method, path, json=body)
    answer.raise_for_status()
    location: str = answer.headers["Location"]
    return location


def _ended(client: httpx2.Client, run: str) -> bool:
    return bool(client.get(run).json()["state"] != "running")


def _wait(ready: Callable[[], bool], what: str) -> None:
    until = time.perf_counter() + WAIT_S
    while not ready():
        if time.perf_counter() > until:
            raise Unavailable(f"waited {WAIT_S:.0f} s for {what}")
        time.sleep(0.005)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _imports_s() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _BOUND], check=True)
    return time.perf_counter() - start
