# SPDX-License-Identifier: Apache-2.0
"""Whether those who run the guests still answer: QEMU by its own protocol, libvirt by a ping."""

import glob
import json
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from billow.agent.clock import now
from billow.agent.findings import Progress
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
    """Asks the guests whose sockets a pattern names; for sockets that nobody else holds."""

    name = "guest"
    period_s = 1.0

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._pattern else "no sockets of guests were named: --qmp"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each guest that stands still or whose QEMU does not answer."""
        for path in sorted(glob.glob(self._pattern)):  # noqa: PTH207 (a pattern of an operator)
            instance = Path(path).parent.name if Path(path).name == "qmp" else Path(path).stem
            if text := judge_status(asked(path)):
                yield Symptom("guest", instance, Hardware.HURTING, text, wall, instance=instance)


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
        """Ask once; that it does not answer is told by its age."""
        del wall
        command = (found("virsh"), "-r", "-k", "0", "list", "--name")
        self._answered_at = self._answered_at or now()
        with suppress(OSError):
            output(*command, timeout_s=WAIT_S)
            self._answered_at = now()
        return []

    def progress(self) -> Iterable[Progress]:
        """Return when it last answered."""
        if self._answered_at:
            text, grade = "libvirt does not answer", Hardware.PREDICTED
            yield Progress("libvirt", "", self._answered_at, LIMIT_S, grade, text)


def asked(path: str) -> str | None:
    """Return a guest's state by QMP; empty when it is busy with somebody else, None without any."""
    answer: dict[str, object] = {}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(WAIT_S)
            line.connect(path)
            with line.makefile("rwb") as stream:
                stream.readline()
                for command in ("qmp_capabilities", "query-status"):
                    stream.write(json.dumps({"execute": command}).encode() + b"\n")
                    stream.flush()
                    answer = _answer(stream.readline())
    except (ConnectionRefusedError, FileNotFoundError):  # it has just ended: that is told else
        return ""
    except OSError:
        return None
    return str(answer.get("status", ""))


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
