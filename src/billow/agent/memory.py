# SPDX-License-Identifier: Apache-2.0
"""What an agent must not forget: the highest obeyed fence, and whether this boot was cleaned.

Kept twice: in a file on a disk, and in a few shared bytes in memory that outlive the process. The
disk may hang just when a fence is obeyed, so it is written by a thread and nobody waits for it.
"""

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from billow.agent.talk import say
from billow.agent.threads import begin

AGAIN_S: Final = 1.0
_NAME: Final = "obeyed.json"
_RUN: Final = Path("/run/billow-agent")


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What was obeyed.

    Attributes:
        fence: The highest fence of any order; an older one is refused.
        boot: The boot in which it was.
        clean: Whether a `clean` was obeyed in that boot.
        fenced: Whether nothing may run here, until the next `clean`, over boots as well.
        lease_s: What was promised when a controller armed it; 0 for nothing.
        peers: Whom to ask before the promise is kept: host -> network -> address.
    """

    fence: int = 0
    boot: str = ""
    clean: bool = False
    fenced: bool = False
    lease_s: float = 0.0
    peers: dict[str, dict[str, str]] = field(default_factory=dict)

    def in_boot(self, boot: str) -> "Obeyed":
        """Return what of it counts in a boot: after another one, what was fenced and by whom."""
        if boot == self.boot:
            return self
        return Obeyed(fence=self.fence, boot=boot, fenced=self.fenced)


class Memory:
    """Both places, read once and written at each change."""

    def __init__(self, state: Path, boot: str) -> None:
        self._files = (runtime_folder(state) / _NAME, state / _NAME)
        read = [each for file in self._files if (each := _read(file))] or [Obeyed()]
        highest = max(each.fence for each in read)
        self.obeyed = replace(read[0], fence=highest).in_boot(boot)
        self._asked = threading.Event()
        self._lock = threading.Lock()
        """Held while the place in memory is written."""
        self._behind = False
        """Whether the place in memory could not be written."""
        begin("memory", self._write_for_ever)

    def change(self, **changed: object) -> None:
        """Remember in memory now, and on the disk soon. Never raises for lack of room."""
        self.obeyed = replace(self.obeyed, **changed)  # type: ignore[arg-type]
        self._write_in_memory()
        self._asked.set()

    def _write_in_memory(self) -> None:
        with self._lock:
            try:
                _write(self._files[0], self.obeyed, synced=False)
                self._behind = False
            except OSError as error:  # full: this process knows it, and the disk soon will
                if not self._behind:
                    say(f"what was obeyed is not in {self._files[0]} yet: {error}")
                self._behind = True

    def _write_for_ever(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._behind:
                self._write_in_memory()
            written = self._written()
            if self._behind or not written:
                self._asked.set()
                threading.Event().wait(AGAIN_S)

    def _written(self) -> bool:
        try:
            _write(self._files[1], self.obeyed, synced=True)
        except OSError:  # full, or read-only: a probe says so
            return False
        return True


def runtime_folder(state: Path) -> Path:
    """Return the folder in memory that belongs to a state folder; it is made when missing."""
    base = _RUN if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/dev/shm"))  # noqa: S108
    folder = base / str(state.resolve()).strip("/").replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _read(file: Path) -> Obeyed | None:
    with suppress(OSError, ValueError, TypeError):
        return Obeyed(**json.loads(file.read_text(encoding="utf-8")))
    return None


def _write(file: Path, obeyed: Obeyed, *, synced: bool) -> None:
    new = file.with_suffix(".new")
    with new.open("w", encoding="utf-8") as stream:
        json.dump(asdict(obeyed), stream)
        stream.flush()
        if synced:
            os.fsync(stream.fileno())
    new.replace(file)
    if synced:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
