# SPDX-License-Identifier: Apache-2.0
"""Every probe that there is."""

from billow.agent.guests import counted
from billow.agent.options import Options
from billow.agent.probes.answers import Libvirt, Qmp
from billow.agent.probes.block import Multipath, Stall
from billow.agent.probes.chassis import Chassis
from billow.agent.probes.conntrack import Conntrack
from billow.agent.probes.drive import Nvme, Smart
from billow.agent.probes.gateway import Gateways
from billow.agent.probes.kernel import KernelLog
from billow.agent.probes.memory import Edac, Poison, Rasdaemon
from billow.agent.probes.mounts import Mounts
from billow.agent.probes.nic import Cards
from billow.agent.probes.pressure import Pressure
from billow.agent.probes.probe import Probe
from billow.agent.probes.raid import Raid
from billow.agent.probes.standstill import Standstill
from billow.agent.probes.timekeeping import Discipline, Jumps
from billow.agent.probes.vswitch import Vswitch
from billow.model.ha.evidence import Network


def all_probes(options: Options) -> tuple[Probe, ...]:
    """Return every probe, whether the host has what it looks at or not."""
    tenant = options.local.get(Network.TENANT, "")
    net = counted(own_namespace=options.own_namespace)
    return (
        KernelLog(options.kmsg),
        *(Edac(), Poison(), Rasdaemon()),
        *(Smart(), Nvme(), Stall(), Raid(), Multipath(), Mounts()),
        Cards(options.local),
        *(Gateways(tenant, options.gateways), Vswitch(), Conntrack()),
        Chassis(),
        *(Jumps(), Discipline(), Pressure()),
        *(Standstill(net=net), Qmp(options.qmp, net=net), Libvirt()),
    )
