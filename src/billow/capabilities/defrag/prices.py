# SPDX-License-Identifier: Apache-2.0
"""What moves, slots and instances are worth: the multipliers of the relaxed problem."""

from dataclasses import dataclass

from billow.model.resources import FloatArray


@dataclass(frozen=True)
class Prices:
    """What things are worth.

    Attributes:
        move: Of one migration.
        slot: Factor of every target's worth.
        instance: Of each class, `(classes,)`; never negative.
    """

    move: float
    slot: float
    instance: FloatArray
