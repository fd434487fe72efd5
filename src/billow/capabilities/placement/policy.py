# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of placement: the strategy, and how much each wish weighs.

Every weight multiplies a share between 0 and 1 of a host, so weights compare with each other and a
weight of 0 switches a wish off. What a host must have is no knob: a request says it (shape, zone,
group).
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from billow.model.policy import Policy


class Strategy(StrEnum):
    """Which hosts are good."""

    SPREAD = "spread"
    """The emptiest: every instance gets room, and a dead host takes few with it."""
    PACK = "pack"
    """The fullest that fits: whole hosts stay empty, for large requests or to be switched off."""


Weight = Annotated[float, Field(ge=0.0, le=100.0)]
"""How much a wish counts, without unit; 0 switches it off."""


class PlacementPolicy(Policy):
    """How hosts and NUMA nodes are chosen among those that fit."""

    strategy: Strategy = Field(
        Strategy.SPREAD,
        description="spread prefers hosts with much left, pack those with little left.",
    )
    cpu_weight: Weight = Field(
        1.0,
        description="Weight of the share of CPU that a host has left afterwards; "
        "raise it where CPU is what runs out.",
    )
    memory_weight: Weight = Field(
        1.0,
        description="Weight of the share of memory left afterwards "
        "(of huge pages, for who takes those).",
    )
    gpu_weight: Weight = Field(
        1.0,
        description="Weight of the share of GPUs left afterwards, for requests that take GPUs.",
    )
    numa_weight: Weight = Field(
        0.5,
        description="Weight of what the chosen NUMA nodes have left: pack takes the tightest "
        "nodes, so that whole nodes stay free for wide requests; spread the emptiest.",
    )
    even_weight: Weight = Field(
        0.25,
        description="Weight against leaving CPU without memory or memory without CPU: "
        "such leftovers serve nobody.",
    )
    gpu_reserve_weight: Weight = Field(
        2.0,
        description="Weight against putting a request without GPUs on a host that has some.",
    )
    zone_weight: Weight = Field(
        0.5,
        description="spread only: weight of the share that a host's zone has left, "
        "so that zones fill evenly.",
    )
    rack_weight: Weight = Field(
        0.25,
        description="spread only: weight of the share that a host's rack has left, "
        "so that racks fill evenly.",
    )
    lifetime_weight: Weight = Field(
        0.0,
        description="Weight against keeping a host in use for longer: instances go to those that "
        "are expected to end with them, as learned from the pool's history. Off by default, since "
        "it works against spread; with pack, 0.1 is a good start.",
    )
    moves_per_plan: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Live migrations that one plan may make to empty hosts, those first that give "
        "back most for each move by what is known of lives. Off by default; meant for pack.",
    )
    chosen: dict[str, str] = Field(
        {},
        description="Hosts that were chosen for requests, by their names: such a request goes to "
        "its host or nowhere.",
    )
