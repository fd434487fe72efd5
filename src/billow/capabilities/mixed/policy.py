# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of mixed deployment: what latency-sensitive instances are promised.

How batch is made to give way is no knob: it is limited, then moved or suspended, in that order.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from billow.model.policy import Policy

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
"""A share of a host's CPUs, of an instance's CPUs, or of time."""


class MixedPolicy(Policy):
    """How far batch may fill hosts, and when it must give way."""

    safe_share: Share = Field(
        0.85,
        description="Share of a host's CPUs that the forecast peak of latency-sensitive instances "
        "and batch may fill together; the rest is for bursts between two samples.",
    )
    room_share: Share = Field(
        0.05,
        description="Share of a host's CPUs that must be free below the safe share before batch "
        "gets more: between the two nothing changes.",
    )
    wait_hot_share: Share = Field(
        0.001,
        description="Share of time that a host's latency-sensitive instances may wait for a CPU "
        "on average; above it batch is cut, whatever was forecast.",
    )
    pressure_hot_share: Share = Field(
        0.3,
        description="CPU pressure (PSI) of a host above which batch is cut, where nobody measures "
        "how long instances wait.",
    )
    cut_share: Share = Field(
        0.25, description="Part of its use that batch loses at a time while others wait."
    )
    step_share: Share = Field(
        0.25,
        description="Part of its CPUs by which a limited instance may grow at a time, beyond what "
        "it uses now.",
    )
    least_share: Share = Field(
        0.05,
        description="Part of its CPUs that a limited instance keeps; where even that is too much "
        "it is moved or suspended.",
    )
    risk: float = Field(
        0.001,
        gt=0.0,
        lt=0.5,
        description="Chance that latency-sensitive instances want more than their forecast peak.",
    )
    horizon_samples: int = Field(
        3, ge=1, le=1000, description="How many samples ahead the forecast peak looks."
    )
    window_samples: int = Field(
        288, ge=2, le=100_000, description="How many samples back are looked at."
    )
    moves: int = Field(
        8,
        ge=0,
        le=10_000,
        description="Batch instances moved in one plan, before suspending; 0 suspends only.",
    )
    cool_down_s: float = Field(
        1800.0, ge=0.0, le=604_800.0, description="An instance that was moved stays for so long, s."
    )

    @model_validator(mode="after")
    def _no_flapping(self) -> Self:
        if self.least_share > self.room_share:
            raise ValueError("least_share must not be above room_share, or batch comes and goes")
        if self.room_share >= self.safe_share:
            raise ValueError("room_share must lie below safe_share")
        return self
