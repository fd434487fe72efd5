# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of capacity: which shapes count, how many hosts may die, what warns.

Nothing here changes a pool: the knobs decide what is counted and when it is worth a warning.
"""

from pydantic import Field

from billow.model.policy import Policy


class CapacityPolicy(Policy):
    """What is counted, and what is worth a warning."""

    shapes: tuple[str, ...] = Field(
        (),
        max_length=64,
        description="Names of the shapes to count. Without any: those with a weight fact, "
        "else the most frequent twelve in use.",
    )
    failures: int = Field(
        1,
        ge=0,
        le=16,
        description="Hosts of each class that may die at once while everything on them still finds "
        "room; 0 asks for none. Most operators keep room for one.",
    )
    days_warning: float = Field(
        30.0,
        ge=0.0,
        le=3650.0,
        description="Days. A warning when a resource may run out within so many: about what it "
        "takes to buy and rack a host.",
    )
    full_share: float = Field(
        0.95,
        gt=0.0,
        le=1.0,
        description="Share of a resource at which it counts as run out: the last hosts never fill, "
        "as leftovers are too small to sell.",
    )
    history_days: float = Field(
        7.0,
        ge=0.5,
        le=365.0,
        description="Days of history that a forecast needs; less does not tell a trend from a "
        "weekend.",
    )
    confidence: float = Field(
        0.9,
        ge=0.5,
        le=0.99,
        description="Probability that the forecast's interval is meant to hold.",
    )
    zone_slots: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description="Instances of the main shape that each zone should still have room for; a "
        "warning below that, 0 for none.",
    )
