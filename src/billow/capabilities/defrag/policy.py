# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of defragmentation: for which shapes, and how much it may cost."""

from typing import Annotated

from pydantic import Field

from billow.model.policy import Policy

Weight = Annotated[float, Field(gt=0.0, le=1000.0)]
"""What one more instance of a shape is worth beside one of another, without unit."""


class DefragPolicy(Policy):
    """Which shapes should fit more often, with how many migrations."""

    shapes: dict[str, Weight] = Field(
        default_factory=dict,
        description="Shapes of the pool that should fit more often, with their weights. None: "
        "those that the pool's source gives a weight, else the largest one that at least one of "
        "fifty instances has: small ones fit nearly everywhere, and fit where a large one does.",
    )
    cpu_milli: int = Field(
        0,
        ge=0,
        le=1_000_000_000,
        description="Thousandths of a CPU of a wanted shape that no instance has yet; 0: `shapes`.",
    )
    memory_mib: int = Field(
        0, ge=0, le=2**40, description="MiB of the shape that `cpu_milli` describes."
    )
    numa_nodes: int = Field(
        0, ge=0, le=32, description="NUMA nodes of that shape; 0 floats over the whole host."
    )
    huge_pages: bool = Field(False, description="Whether that shape takes huge pages.")
    moves: int = Field(
        100,
        ge=0,
        le=100_000,
        description="Most migrations of one plan, detours included; each one costs network and "
        "a moment of standstill.",
    )
    slots_wanted: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="So many instances should fit, with the fewest migrations; 0: as many as can.",
    )
    count_memory: bool = Field(
        True,
        description="Whether a slot needs its memory too; false counts CPU only, as the vmr data "
        "set does. A moved instance always finds its memory.",
    )
    time_limit_s: float = Field(
        20.0,
        ge=0.1,
        le=3600.0,
        description="Seconds until the plan stands; the best answer so far is taken, with a bound.",
    )
    rounds: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Most rounds of pricing, and most nodes of a search tree; a limit that does "
        "not depend on the machine.",
    )
    protected: frozenset[str] = Field(
        frozenset(), description="Ids of instances and hosts that stay as they are."
    )
