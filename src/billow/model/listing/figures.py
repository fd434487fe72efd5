# SPDX-License-Identifier: Apache-2.0
"""What is worked out of a host's columns for every face: its mark, its shares, its instances."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from billow.model.hosts import Hosts
from billow.model.instances import NOWHERE
from billow.model.kinds import Health, Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY, CodeArray, FloatArray, IntArray


class Mark(IntEnum):
    """What stands out about a host; the worst that holds wins."""

    OK = 0
    CORDONED = 1
    SUSPECT = 2
    FAILED = 3
    OFF = 4
    UNKNOWN = 5

    @property
    def word(self) -> str:
        """The mark for a person."""
        return self.name.lower()


def marks(hosts: Hosts) -> CodeArray:
    """Return each host's `Mark`, `(hosts,) uint8`, in row order."""
    mark = np.full(len(hosts), Mark.OK, dtype=np.uint8)
    mark[~hosts.cordon.where("")] = Mark.CORDONED
    mark[hosts.health == code_of(Health.SUSPECT)] = Mark.SUSPECT
    mark[hosts.health == code_of(Health.UNKNOWN)] = Mark.UNKNOWN
    mark[hosts.power == code_of(Power.UNKNOWN)] = Mark.UNKNOWN
    mark[hosts.power == code_of(Power.OFF)] = Mark.OFF
    mark[hosts.health == code_of(Health.FAILED)] = Mark.FAILED
    return mark


def physical_cpu(hosts: Hosts) -> IntArray:
    """Return the CPUs that hosts have, thousandths, `(hosts,) int64`."""
    cpus: IntArray = hosts.capacity[..., CPU].sum(axis=1)
    return cpus


def physical_memory(hosts: Hosts) -> IntArray:
    """Return ordinary memory and huge pages together, MiB, `(hosts,) int64`."""
    memory: IntArray = hosts.capacity[..., [MEMORY, HUGE]].sum(axis=(1, 2))
    return memory


def cpu_reserved(pool: Pool) -> FloatArray:
    """Return what is reserved of the CPUs that may be sold, `(hosts,) float64`, 1.0 = all."""
    return _share(pool.reserved[:, CPU], pool.hosts.sellable[..., CPU].sum(axis=1))


def memory_reserved(pool: Pool) -> FloatArray:
    """Return what is reserved of ordinary memory and huge pages together, `(hosts,) float64`."""
    sellable = pool.hosts.sellable[..., [MEMORY, HUGE]].sum(axis=(1, 2))
    return _share(pool.reserved[:, [MEMORY, HUGE]].sum(axis=1), sellable)


def cpu_used(pool: Pool) -> FloatArray:
    """Return what is used of the physical CPUs, `(hosts,) float64`, NaN when not seen."""
    return _share(pool.hosts.cpu_used, physical_cpu(pool.hosts))


def memory_used(pool: Pool) -> FloatArray:
    """Return what is used of the physical memory, `(hosts,) float64`, NaN when not seen."""
    return _share(pool.hosts.memory_used, physical_memory(pool.hosts))


def instance_counts(pool: Pool) -> IntArray:
    """Return how many instances each host holds, `(hosts,) int64`."""
    placed = pool.instances.host[pool.instances.host != NOWHERE]
    return np.bincount(placed, minlength=len(pool.hosts))


def _share(part: npt.NDArray[np.generic], whole: IntArray) -> FloatArray:
    share: FloatArray = np.asarray(part, dtype=np.float64) / np.maximum(whole, 1)
    return share
