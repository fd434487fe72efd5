# SPDX-License-Identifier: Apache-2.0
"""Every probe that there is."""

from collections.abc import Iterator

from billow.agent.options import Options
from billow.agent.probes.probe import Probe


def all_probes(options: Options) -> tuple[Probe, ...]:
    """Return every probe, whether the host has what it looks at or not."""
    del options
    return ()


def probes_for(options: Options) -> Iterator[Probe]:
    """Yield the probes that can look at something on this host. Does I/O."""
    return (each for each in all_probes(options) if not each.missing())
