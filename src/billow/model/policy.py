# SPDX-License-Identifier: Apache-2.0
"""What an operator allows: the limits that every plan keeps. A policy says what, never how.

Each knob has a unit in its name, a default, a range and a reason. A capability's own policy is a
model of its own in its folder and derives from `Policy`.
"""

from pydantic import BaseModel, ConfigDict, Field


class Policy(BaseModel):
    """The root of all policies: frozen, and unknown knobs are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(Policy):
    """Budgets that hold for every plan, whoever asks for it."""

    steps_at_once: int = Field(
        32, ge=1, le=10_000, description="Steps under way in the whole pool at one time."
    )
    migrations_at_once_per_host: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Migrations that one host sends or receives at one time, at most; "
        "0 for as many as fill its links.",
    )
    steps_per_plan: int = Field(
        100_000, ge=1, le=1_000_000, description="Steps in one plan; what exceeds it is rejected."
    )
    protected: frozenset[str] = Field(
        frozenset(), description="Ids of instances and hosts that no plan may touch."
    )
    failures_allowed: int = Field(
        0, ge=0, le=1_000_000, description="Failed steps of a run before no further step starts."
    )
    frozen: bool = Field(False, description="While true, plans are made but none is carried out.")
