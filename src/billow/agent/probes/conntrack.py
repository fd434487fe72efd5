# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of connections: when it is full, new connections of instances are dropped."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Network, Symptom

FOLDER: Final = Path("/proc/sys/net/netfilter")
FULL, NEARLY = 0.98, 0.9


class Conntrack(Probe):
    """How full it is."""

    name = "conntrack"
    period_s = 1.0

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def missing(self) -> str:
        """Return what the host lacks for it."""
        here = (self._folder / "nf_conntrack_count").exists()
        return "" if here else "the kernel tracks no connections"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what its size means."""
        count, most = (
            int((self._folder / f"nf_conntrack_{name}").read_text()) for name in ("count", "max")
        )
        return list(judge(count, most, wall))


def judge(count: int, most: int, wall: float) -> Iterator[Symptom]:
    """Yield what so many connections of so many mean."""
    if most and count >= most * FULL:
        text = "the table of connections is full: new ones are dropped"
        yield Symptom("conntrack", "", Hardware.HURTING, text, wall, network=Network.TENANT)
    elif most and count >= most * NEARLY:
        text = "the table of connections is nearly full"
        yield Symptom("conntrack", "", Hardware.PREDICTED, text, wall)
