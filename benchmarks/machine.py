# SPDX-License-Identifier: Apache-2.0
"""Where a measurement was made: a number without its machine says nothing."""

import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def described() -> str:
    """Return the machine, the versions and the commit in one line."""
    return ", ".join(
        [
            f"{os.cpu_count()} cores ({_processor()})",
            f"load {os.getloadavg()[0]:.1f}",
            f"{_memory_mib()} MiB",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            f"NumPy {metadata.version('numpy')}",
            f"commit {_commit()}",
        ]
    )


def in_fresh_process(code: str, *arguments: str) -> tuple[dict[str, float], float]:
    """Run code that prints one JSON object in a process of its own.

    Returns:
        The object, and the most memory that the process held, MiB. It is read from the process's
        own VmHWM: `ru_maxrss` would also count what its parent held when it was started.
    """
    status = "open('/proc/self/status')"
    tail = f"\nprint(*(line.split()[1] for line in {status} if line[:5] == 'VmHWM'))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *arguments],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    *_, result, peak_kib = done.stdout.splitlines()
    return json.loads(result), int(peak_kib) / 1024


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.machine()


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
