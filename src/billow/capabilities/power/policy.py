# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of power: how full, how safe, when, and what energy costs."""

from typing import Annotated

from pydantic import Field

from billow.model.policy import Policy

Hour = Annotated[int, Field(ge=0, le=23)]


class PowerPolicy(Policy):
    """How few hosts may run, and what must never be given up for it."""

    overload_share: float = Field(
        0.002,
        gt=0.0,
        le=0.2,
        description="Share of time that a host may be asked for more CPU than its ceiling, on "
        "average over the hosts in use; less keeps more hosts on.",
    )
    ceiling_share: float = Field(
        0.9,
        gt=0.0,
        le=1.0,
        description="Share of a host's CPUs above which it counts as overloaded.",
    )
    unseen_share: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Share of its CPUs that an instance is expected to use until it was seen.",
    )
    move_gain_share: float = Field(
        0.004,
        gt=0.0,
        le=1.0,
        description="How much time over the ceiling a single move must spare, as a share of one "
        "host's time; more means fewer moves.",
    )
    hysteresis_share: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="Share of overload_share left unused when a host is emptied, so that it is not "
        "needed again at once.",
    )
    relieve: bool = Field(
        True, description="Whether hosts at risk are relieved by single moves as well."
    )
    moves_per_plan: int = Field(
        5_000, ge=0, le=1_000_000, description="Instances that one plan may move."
    )
    spare_hosts: int = Field(
        1,
        ge=0,
        le=100,
        description="How many of the largest hosts may die at once and all that is on them still "
        "finds room on hosts that are on.",
    )
    least_on_per_zone: int = Field(
        1, ge=0, le=10_000, description="Hosts that stay on in every zone, whatever the load."
    )
    keep_on: frozenset[str] = Field(
        frozenset(), description="Ids of hosts that are never switched off."
    )
    wake_s: float = Field(
        300.0,
        ge=0.0,
        le=86_400.0,
        description="Time from power on until a host takes instances; demand is looked at this "
        "far ahead.",
    )
    least_on_s: float = Field(
        3_600.0,
        ge=0.0,
        le=604_800.0,
        description="How long a host stays on once it was switched on: disks and fans wear out.",
    )
    wakes_per_day: int = Field(
        4,
        ge=0,
        le=1_000,
        description="A host that was switched on so often within a day stays on.",
    )
    always_on_hours: frozenset[Hour] = Field(
        frozenset(), description="Hours of the day (UTC, 0 to 23) in which nothing is switched off."
    )
    all_on: bool = Field(False, description="Emergency: switch everything on, and nothing off.")
    unknown_idle_watts: float = Field(
        120.0,
        ge=0.0,
        le=100_000.0,
        description="Draw of an idle host of which neither a curve nor a measurement is known.",
    )
    unknown_full_watts: float = Field(
        300.0, ge=0.0, le=100_000.0, description="Draw of such a host at full load."
    )
    asleep_watts: float = Field(
        5.0,
        ge=0.0,
        le=1_000.0,
        description="Draw of a host that is off: its management controller.",
    )
    overhead_ratio: float = Field(
        1.0,
        ge=1.0,
        le=5.0,
        description="Energy of the site per energy of its hosts (PUE): cooling and losses.",
    )
    euro_per_kwh: float = Field(0.25, ge=0.0, le=100.0, description="Price of energy.")
    co2_g_per_kwh: tuple[Annotated[float, Field(ge=0.0, le=10_000.0)], ...] = Field(
        (),
        max_length=8_784,
        description="Carbon intensity of the grid by hour (UTC): 24 values are every day's, more "
        "start with the first hour of the year; empty leaves CO2 out of the report.",
    )
