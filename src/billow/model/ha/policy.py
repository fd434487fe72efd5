# SPDX-License-Identifier: Apache-2.0
"""What an operator allows high availability to do, and how long each thing may take."""

from typing import Annotated

from pydantic import Field

from billow.model.ha.view import MOST_CLEAN
from billow.model.policy import Policy

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class HaPolicy(Policy):
    """Times, counts and shares that bind every decision about a failed host."""

    settle_s: float = Field(
        0.5,
        ge=0.0,
        le=60.0,
        description="A failure must hold so long before anything is ended for it. A switch that "
        "fails takes its hosts within this time: the storm is seen before the first is fenced.",
    )
    storage_grace_s: float = Field(
        10.0,
        ge=0.0,
        le=3600.0,
        description="A lost storage path may come back in this time: multipath and storage "
        "controllers fail over in seconds.",
    )
    isolation_grace_s: float = Field(
        30.0,
        ge=0.0,
        le=3600.0,
        description="A host that users do not reach, and that still holds its disks, is left alone "
        "for so long: its instances work on, and a restart would cost them more than a short cut.",
    )
    hung_grace_s: float = Field(
        10.0,
        ge=0.0,
        le=3600.0,
        description="A host whose kernel answers while no agent speaks may be frozen for a moment: "
        "a snapshot, a starved CPU, a stopped process.",
    )
    agent_s: float = Field(
        5.0,
        ge=0.5,
        le=300.0,
        description="An agent ends its instances and says so in this time, else the next way to a "
        "proof is tried; killing takes about 1 s.",
    )
    bmc_s: float = Field(
        30.0,
        ge=1.0,
        le=600.0,
        description="A management controller turns a host off, and is read twice, in this time; "
        "real ones take seconds, and sessions run out.",
    )
    again_s: float = Field(
        10.0,
        ge=1.0,
        le=3600.0,
        description="After all ways to a proof were tried in vain, they are tried again then.",
    )
    margin_s: float = Field(
        2.0,
        ge=0.5,
        le=60.0,
        description="Added to a watchdog lease: drift of clocks and slack of a kernel's timer. "
        "With none, one lost tick runs an instance twice.",
    )
    doubt_s: float = Field(
        4.0,
        ge=1.0,
        le=60.0,
        description='A management controller that says "off" of a host which is heard for so long '
        "afterwards is wrong. Shorter than what a view may be old, a true death would look so.",
    )
    starts: int = Field(
        3,
        ge=1,
        le=10,
        description="So many hosts are tried for an instance before it is left to a person.",
    )
    clean_beats: int = Field(
        10,
        ge=1,
        le=MOST_CLEAN,
        description="A host that was away counts again after so many rounds of beats on all "
        "networks: at 200 ms, 2 s. A controller counts no further than the most of it.",
    )
    fencing_share: Share = Field(
        0.05,
        description="Hosts of a zone for which proof is sought at one time, at most (but one).",
    )
    window_share: Share = Field(
        0.1,
        description="Hosts of a zone that are fenced within `window_s`, at most (but one): more is "
        "no accident, and a person should look.",
    )
    window_s: float = Field(
        600.0, ge=1.0, le=86_400.0, description="The time that `window_share` counts over."
    )
    storm_share: Share = Field(
        0.3,
        description="Hosts of a zone that are suspected within `storm_s`: from here on it is an "
        "event of the network or the power, and nothing is ended (CloudStack 30 %, oVirt 50 %).",
    )
    storm_group_share: Share = Field(
        2 / 3, description="The same for hosts that share a rack, a switch or a storage pool."
    )
    storm_hosts: int = Field(
        2,
        ge=2,
        le=1000,
        description="Fewer hosts than this are no storm: in a zone of three, one is a third.",
    )
    storm_s: float = Field(
        60.0, ge=1.0, le=3600.0, description="The time within which hosts are suspected together."
    )
    cooldown_s: float = Field(
        300.0,
        ge=0.0,
        le=86_400.0,
        description="After a storm nothing is ended for so long: what comes back comes back now.",
    )
    canary_s: float = Field(
        120.0,
        ge=0.0,
        le=3600.0,
        description="The first evacuation after a storm goes alone, for so long at most: if it was "
        "wrong, it was one host.",
    )
    dark_share: Share = Field(
        0.02,
        description="Hosts of a zone without power, read off, that may begin to be evacuated per "
        "`dark_s` even in a storm (but one): they are dead, whatever else is.",
    )
    dark_s: float = Field(
        60.0, ge=1.0, le=3600.0, description="The time that `dark_share` counts over."
    )
    flaps: int = Field(
        3,
        ge=2,
        le=100,
        description="A host with so many failures within `flap_s` is drained, and counts no more.",
    )
    flap_s: float = Field(
        3600.0, ge=60.0, le=86_400.0, description="The time that `flaps` counts over."
    )
    quarantine_s: float = Field(
        7200.0,
        ge=0.0,
        le=604_800.0,
        description="How long a host that flaps does not count (Windows clusters: 2 h).",
    )
