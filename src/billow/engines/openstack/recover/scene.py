# SPDX-License-Identifier: Apache-2.0
"""What the parts of recovery share: the cloud, who is who in it, the hosts that are being left."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from billow.engines.openstack.nova import Nova
from billow.engines.openstack.recover.metal import Metal
from billow.engines.openstack.recover.records import Records
from billow.engines.openstack.recover.tries import Tries
from billow.engines.openstack.recover.ward import Ward
from billow.errors import BillowError
from billow.ports import Bmc, Clock

ServerOf: TypeAlias = Callable[[str], Awaitable[str]]
"""Returns the id of an instance's server, after a look if need be; empty when there is none."""


@dataclass(slots=True)
class Scene:
    """One cloud, as recovery works with it.

    Attributes:
        folder: Where tries are written down.
        bmc: Who turns hosts off and on, with proof; None where nobody does.
        metal: Who turns Ironic's machines; None where nobody does.
    """

    nova: Nova
    records: Records
    server: ServerOf
    clock: Clock
    folder: Path
    bmc: Bmc | None = None
    metal: Metal | None = None
    tries: Tries = field(init=False)
    _wards: dict[str, Ward] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tries = Tries(self.folder)

    def ward(self, host: str) -> Ward:
        """Return what is known of a host."""
        if host not in self._wards:
            self._wards[host] = Ward(host, self.records, self.clock)
        return self._wards[host]

    def forget(self, hosts: Collection[str]) -> None:
        """Know nothing of hosts any more: they are no longer what they were."""
        for host in hosts:
            self._wards.pop(host, None)


def status_of(error: BillowError) -> int:
    """Return the HTTP status that an error stands for; 0 for none (`openstack-409` is 409)."""
    _, _, number = error.code.partition("openstack-")
    return int(number) if number.isdecimal() else 0
