# SPDX-License-Identifier: Apache-2.0
"""The virtual switch: whether Open vSwitch runs and answers."""

import json
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Network, Symptom

FOLDERS: Final = (Path("/run/openvswitch"), Path("/var/run/openvswitch"))
PROGRAMS: Final = ("ovs-vswitchd", "ovn-controller")
WAIT_S: Final = 2.0
AGAIN_S: Final = 5.0
"""One that ended in order, and took its pid file with it, may be begun anew meanwhile."""
_MOST: Final = 65_536


class Vswitch(Probe):
    """Asks each program of the switch for its version, over its control socket."""

    name = "vswitch"
    period_s = 1.0

    def __init__(self, folders: tuple[Path, ...] = FOLDERS) -> None:
        self._folders = folders
        self._seen: dict[str, float] = {}

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._pid_files() else "no Open vSwitch"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each program that is dead, has ended or does not answer.

        One that could not be asked says nothing of the others. Raises OSError when none could be.
        """
        files = self._pid_files()
        self._seen.update(dict.fromkeys(files, wall))
        refused: list[OSError] = []
        for name, seen_at in self._seen.items():
            try:
                why = lack(files[name]) if name in files else ended(wall - seen_at)
            except PermissionError as error:
                refused.append(error)
                continue
            if why:
                text = f"{name} {why}"
                grade = Hardware.HURTING
                yield Symptom("vswitch", name, grade, text, wall, network=Network.TENANT)
        if refused and len(refused) == len(self._seen):
            raise refused[0]

    def _pid_files(self) -> dict[str, Path]:
        return {
            name: folder / f"{name}.pid"
            for folder in reversed(self._folders)
            for name in PROGRAMS
            if (folder / f"{name}.pid").exists()
        }


def ended(ago_s: float) -> str:
    """Return what is wrong with a program whose pid file went so long ago; empty for nothing."""
    return "has ended" if ago_s >= AGAIN_S else ""


def lack(pid_file: Path) -> str:
    """Return what is wrong with a program by its pid file; empty when it answers.

    Raises PermissionError when it may not be asked.
    """
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return "does not run"
    if not runs(pid):
        return "does not run"
    control = pid_file.with_name(f"{pid_file.stem}.{pid}.ctl")
    try:
        return "" if answers(control) else "answers with an error"
    except PermissionError:
        raise
    except OSError as error:
        return f"does not answer: {error}"


def runs(pid: int) -> bool:
    """Return whether there is such a process; one of another user is one, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def answers(control: Path) -> bool:
    """Ask for the version over a control socket (JSON-RPC). Raises OSError without an answer."""
    question = {"id": 0, "method": "version", "params": []}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(WAIT_S)
        line.connect(str(control))
        line.sendall(json.dumps(question).encode())
        try:
            answer = json.loads(line.recv(_MOST) or b"{}")
        except ValueError:
            return False
    return isinstance(answer, dict) and not answer.get("error") and "result" in answer
