# SPDX-License-Identifier: Apache-2.0
"""What starts guests by itself when this host boots.

A host that was turned off, its instances started elsewhere, runs them a second time when it is
turned on and something there starts them before it is cleaned. This module only looks.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

LIBVIRT: Final = Path("/etc/libvirt/qemu/autostart")
NOVA: Final = Path("/etc/nova/nova.conf")
RESUMES: Final = "resume_guests_state_on_host_boot"
_RESUMES: Final = re.compile(rf"^{RESUMES}\s*[=:]\s*(\S+)", re.MULTILINE)
_TRUE: Final = {"true", "1", "yes", "on"}
_MOST_NAMED: Final = 5


def starters(libvirt: Path = LIBVIRT, nova: Path = NOVA) -> Iterator[str]:
    """Yield what starts guests at boot and how to turn it off, a sentence each.

    Raises OSError for what is there and cannot be read.
    """
    guests: list[str] = []
    with suppress(FileNotFoundError):
        guests = sorted(each.stem for each in libvirt.iterdir() if each.suffix == ".xml")
    if guests:
        more = ", ..." if len(guests) > _MOST_NAMED else ""
        named = ", ".join(guests[:_MOST_NAMED]) + more
        yield f"libvirt starts {named} at boot: `virsh autostart --disable GUEST` for each"
    with suppress(FileNotFoundError):
        said = _RESUMES.findall(nova.read_text(encoding="utf-8", errors="replace"))
        if said and said[-1].lower() in _TRUE:
            yield f"nova starts guests at boot: set {RESUMES} = false in {nova}"
