# SPDX-License-Identifier: Apache-2.0
"""Why something was decided for a host, in the words of all faces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must be so before anything is ended.

    Attributes:
        name: Which: `storm`, `flapping`, `maintenance`, `armed`, `quorum`.
        open: Whether it lets pass.
        text: What was counted, one sentence.
    """

    name: str
    open: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What was seen, under which row of the decision table it falls, and what else could have been.

    Attributes:
        row: 1 to 192.
        evidence: One fact per entry.
        otherwise: What would have changed the decision, one sentence per entry.
    """

    row: int
    diagnosis: str
    evidence: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    otherwise: tuple[str, ...] = ()
