# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of hotspot: when a host is hot, how cool it must get, how much may move.

Two thresholds each for "act" and "enough" keep it from moving things to and fro: between them
nothing happens. How a host is cooled is no knob.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from billow.model.policy import Policy

Share = Annotated[float, Field(gt=0.0, le=1.0)]
"""A share of what a host physically has."""


class HotspotPolicy(Policy):
    """When hosts are hot, and what may be done about it."""

    cpu_hot_share: Share = Field(
        0.9, description="A host that uses more of its CPUs than this is hot."
    )
    cpu_target_share: Share = Field(
        0.8, description="Expected use of CPUs below which a host is cool again."
    )
    memory_hot_share: Share = Field(
        0.92, description="A host that uses more of its memory than this is hot."
    )
    memory_target_share: Share = Field(
        0.85, description="Expected use of memory below which a host is cool again."
    )
    load_hot: float = Field(
        2.0,
        gt=0.0,
        le=1000.0,
        description="Processes that run or want to, per CPU over one minute: more is a sign of "
        "heat.",
    )
    pressure_hot_share: Share = Field(
        0.3, description="Share of time in which something waits (PSI): more is a sign of heat."
    )
    swap_hot_mib_s: float = Field(
        1.0, gt=0.0, le=1e6, description="Swapping faster than this is a sign of heat, MiB/s."
    )
    balloon_hot_share: Share = Field(
        0.1,
        description="Share of a host's memory taken back from instances: more is a sign of heat.",
    )
    risk_hot: float = Field(
        0.05,
        gt=0.0,
        lt=0.5,
        description="Chance that a sample to come wants more CPU than the host has: above this, "
        "soon or in the long run, it is hot, and no host gets there by what it is sent.",
    )
    risk_act: float = Field(
        0.005,
        gt=0.0,
        lt=0.5,
        description="The same chance over the horizon above which something moves, where that "
        "is worth it.",
    )
    risk_target: float = Field(
        0.001,
        gt=0.0,
        lt=0.5,
        description="The same chance below which a host is cool and nothing more moves.",
    )
    worth_samples: float = Field(
        0.3,
        ge=0.0,
        le=1e6,
        description="A move must save so many samples of overload, by forecast and over both of "
        "its hosts; what is above a target share by a tenth of a host counts as one.",
    )
    horizon_samples: int = Field(
        6, ge=1, le=1000, description="How many samples ahead a move must be worth it."
    )
    window_samples: int = Field(
        288, ge=2, le=100_000, description="How many samples back are looked at."
    )
    half_life_samples: float = Field(
        144.0, gt=0.0, le=1e6, description="After so many samples one weighs half."
    )
    cool_down_s: float = Field(
        1800.0, ge=0.0, le=604_800.0, description="An instance that was moved stays for so long, s."
    )
    moves_per_host_day: float = Field(
        5.0,
        ge=0.0,
        le=10_000.0,
        description="Moves within a day, on average over all hosts; history counts them.",
    )
    noisy_share: Share = Field(
        0.25, description="An instance that uses more of its hot host than this is named as noisy."
    )
    wait_share: Share = Field(
        0.05,
        description="An instance that waits for a CPU for more of its time than this is a victim.",
    )

    @model_validator(mode="after")
    def _targets_lie_below(self) -> Self:
        pairs = (
            ("cpu_target_share", self.cpu_target_share, self.cpu_hot_share),
            ("memory_target_share", self.memory_target_share, self.memory_hot_share),
            ("risk_target", self.risk_target, self.risk_act),
            ("risk_act", self.risk_act, self.risk_hot),
        )
        for name, target, hot in pairs:
            if target >= hot:
                raise ValueError(f"{name} must lie below what counts as hot")
        return self
