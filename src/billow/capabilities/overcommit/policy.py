# SPDX-License-Identifier: Apache-2.0
"""What an operator can ask of overcommit: which risk is taken, and how far it may go."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from billow.model.policy import Policy

Share = Annotated[float, Field(gt=0.0, le=1.0)]
"""A share of what a host physically has."""


class OvercommitPolicy(Policy):
    """How much hosts sell of what they have."""

    limit_share: Share = Field(
        0.9, description="Use of a host's CPUs or memory that should hardly ever be exceeded."
    )
    risk: float = Field(
        0.001,
        gt=0.0,
        lt=0.5,
        description="How likely it may be exceeded at any time, by a host that has sold all.",
    )
    lower_at: float = Field(
        2.0,
        ge=1.0,
        le=100.0,
        description="Sell less when the risk is so many times higher than allowed; between, "
        "nothing changes.",
    )
    raise_by: float = Field(
        0.1, ge=0.0, le=10.0, description="Sell more when the ratio can rise by at least so much."
    )
    most_cpu_ratio: float = Field(
        8.0, ge=1.0, le=1000.0, description="CPUs sold per physical one, at most."
    )
    most_memory_ratio: float = Field(
        1.5, ge=1.0, le=100.0, description="Memory sold per physical MiB, at most; 1 for none."
    )
    reach: float = Field(
        2.0,
        ge=1.0,
        le=100.0,
        description="Raised to at most so many times what is in use today: what nobody has seen "
        "is not relied on.",
    )
    least_samples: int = Field(
        288,
        ge=1,
        le=1_000_000,
        description="Samples of use that must have been seen before more is sold.",
    )
    seen_share: Share = Field(
        0.9, description="Of what is sold, how much must have been seen so often."
    )
    plain_traits: frozenset[str] = Field(
        frozenset(), description="Hosts with any of these traits sell what they have, no more."
    )
    fair_wait_share: Share = Field(
        0.05,
        description="The guarantee given to tenants: nobody waits for a CPU for a larger part of "
        "the time. It is measured.",
    )

    @model_validator(mode="after")
    def _lowering_is_possible(self) -> Self:
        if self.risk * self.lower_at >= 0.5:
            raise ValueError("risk times lower_at must lie below 0.5")
        return self
