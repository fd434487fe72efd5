# SPDX-License-Identifier: Apache-2.0
"""Whether those who run the guests still answer: QEMU by its own protocol, libvirt by a ping."""

import glob
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from billow.agent.clock import now
from billow.agent.findings import Progress
from billow.agent.guests import command_of, instance_of, namespace, running
from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

WAIT_S: Final = 2.0
LIMIT_S: Final = 5.0
"""A daemon that has not answered for so long hangs."""
LIBVIRT: Final = (Path("/run/libvirt/virtqemud-sock-ro"), Path("/run/libvirt/libvirt-sock-ro"))
_MOST: Final = 65_536
_ILL: Final = {"io-error": "it stands still for an I/O error", "internal-error": "QEMU gave it up"}


class Qmp(Probe):
    """Asks the guests whose sockets a pattern names; one that somebody else holds is let be."""

    name = "guest-qmp"
    period_s = 1.0

    def __init__(self, pattern: str, net: int | None = None) -> None:
        self._pattern = pattern
        self._net = namespace() if net is None else net

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._pattern else "no sockets of guests were named: --qmp"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each guest that stands still or whose QEMU does not answer."""
        for path in map(Path, sorted(glob.glob(self._pattern))):  # noqa: PTH207 (a pattern)
            instance = path.parent.name if path.name == "qmp" else path.stem
            status = asked(path)
            if status is None and self._spoken_to(instance, path.name):
                continue
            if text := judge_status(status):
                yield Symptom("guest", instance, Hardware.HURTING, text, wall, instance=instance)

    def _spoken_to(self, instance: str, socket_name: str) -> bool:
        """Return whether a guest is gone, or somebody else holds its socket: it takes one only."""
        pids = [pid for pid in running(self._net) if instance_of(command_of(pid)) == instance]
        return all(holds_line(pid, socket_name) for pid in pids)


class Libvirt(Probe):
    """Whether libvirt answers; it hangs with its storage."""

    name = "libvirt"
    period_s = 1.0

    def __init__(self, sockets: tuple[Path, ...] = LIBVIRT) -> None:
        self._sockets = sockets
        self._answered_at = 0.0

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if not found("virsh"):
            return "no virsh"
        return "" if any(each.exists() for each in self._sockets) else "libvirt does not run"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Ask once; that it does not answer is told by its age.

        Raises OSError when it never answered and refuses: it may not be there for guests at all.
        """
        del wall
        command = (found("virsh"), "-r", "-k", "0", "list", "--name")
        try:
            output(*command, timeout_s=WAIT_S, must_succeed=True)
            self._answered_at = now()
        except TimeoutError:
            self._answered_at = self._answered_at or now()
        except OSError:
            if not self._answered_at:
                raise
        return []

    def progress(self) -> Iterable[Progress]:
        """Return when it last answered."""
        if self._answered_at:
            text, grade = "libvirt does not answer", Hardware.PREDICTED
            yield Progress("libvirt", "", self._answered_at, LIMIT_S, grade, text)


def asked(path: Path) -> str | None:
    """Return a guest's state by QMP; empty when it has just ended, None when it does not answer."""
    answer: dict[str, object] = {}
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(WAIT_S)
            line.connect(f"/proc/self/fd/{folder}/{path.name}")  # a path may be too long for it
            with line.makefile("rwb") as stream:
                stream.readline()
                for command in ("qmp_capabilities", "query-status"):
                    stream.write(json.dumps({"execute": command}).encode() + b"\n")
                    stream.flush()
                    answer = _answer(stream.readline())
    except (ConnectionRefusedError, FileNotFoundError):
        return ""
    except OSError:
        return None
    finally:
        os.close(folder)
    return str(answer.get("status", ""))


def holds_line(pid: int, socket_name: str) -> bool:
    """Return whether a process has accepted a line on a socket of this name; false when it is gone.

    By /proc/net/unix: an accepted line has the listener's path, state 03 and an inode that is one
    of the process's files.
    """
    with suppress(OSError):
        files = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
        lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
        words = [line.split() for line in lines]
        return any(
            f"socket:[{each[6]}]" in files
            for each in words
            if len(each) == 8 and each[5] == "03" and each[7].rpartition("/")[2] == socket_name
        )
    return False


def _answer(line: bytes) -> dict[str, object]:
    with suppress(ValueError):
        answer = json.loads(line).get("return")
        return answer if isinstance(answer, dict) else {}
    return {}


def judge_status(status: str | None) -> str:
    """Return what is wrong with a guest of this state; empty for nothing."""
    if status is None:
        return "its QEMU does not answer"
    return _ILL.get(status, "")
