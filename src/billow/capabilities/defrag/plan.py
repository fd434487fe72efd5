# SPDX-License-Identifier: Apache-2.0
"""More instances of a wanted shape fit, with at most so many migrations: the capability's face.

What is best is decided in `solve.py`. Pure: no I/O, no clock, no dice; the seconds of a policy are
told by a stopwatch that is given to it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from billow.capabilities.defrag.policy import DefragPolicy
from billow.capabilities.defrag.repair import repair
from billow.capabilities.defrag.report import report
from billow.capabilities.defrag.slots import fragmentation, slots_by_host
from billow.capabilities.defrag.solve import Answer, Stopwatch, solve, worth
from billow.capabilities.defrag.target import Target, targets_of
from billow.model.action import Migrate
from billow.model.plan import Finding, Proposal, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.plan.amounts import amount

NAME: Final = "defrag"


def standing_still() -> float:
    """Return no time at all: limits then count rounds only, and every run is the same."""
    return 0.0


class Defrag:
    """The capability: makes more instances of a wanted shape fit."""

    name = NAME
    policy: type[Policy] = DefragPolicy

    def __init__(self, stopwatch: Stopwatch = standing_still) -> None:
        self._stopwatch = stopwatch

    def propose(self, pool: Pool, policy: DefragPolicy, /) -> Proposal:
        """Return the moves, in an order that works, and what is proven of them.

        An empty proposal says why nothing can be gained. Gains are counted in instances of the one
        wanted shape, or in the weighted worth of several.

        Raises:
            Invalid: a wanted shape that the pool does not know.
        """
        targets = targets_of(pool, policy)
        if not targets:
            return Proposal(NAME, findings=(_nothing_wanted(),))
        answer = solve(pool, targets, policy, self._stopwatch)
        actions = tuple(_explained(pool, answer, targets, policy))
        findings = tuple(_findings(answer, targets, policy))
        return Proposal(NAME, actions, findings, gain=_gain(pool, answer, targets))

    def mended(self, pool: Pool, proposal: Proposal, policy: DefragPolicy, /) -> Proposal:
        """Return the moves that can still be made, others in place of those that cannot.

        The proof is for the pool that was: what is returned has none.
        """
        moves = [action for action in proposal.actions if isinstance(action, Migrate)]
        targets = targets_of(pool, policy)
        found = repair(pool, moves, policy.moves, policy.protected)
        before = worth(pool, targets, policy) if targets else 0.0
        after = worth(found.after, targets, policy) if targets else 0.0
        left = found.moves if after > before else ()
        text = (
            f"instances came and went while this was found: of {amount(len(moves), 'moves')} "
            f"{len(found.kept)} stand, {len(found.redirected)} go elsewhere, "
            f"{len(found.dropped)} were dropped; {amount(after if left else before, 'slots')} with "
            f"{amount(len(left), 'moves')}, without a bound: plan again for one"
        )
        gain = {"slots_before": before, "slots_after": after if left else before}
        finding = Finding("pool", Severity.INFO, text)
        return Proposal(NAME, left, (finding,), gain={**gain, "moves": float(len(left))})

    def report(self, pool: Pool, policy: DefragPolicy, /) -> Report:
        """Return which leftovers nobody can buy, by shape, resource, NUMA node and host.

        Raises:
            Invalid: a wanted shape that the pool does not know.
        """
        return report(pool, policy)


def _explained(
    pool: Pool, answer: Answer, targets: tuple[Target, ...], policy: DefragPolicy
) -> Iterator[Migrate]:
    """Yield the moves, each with what it is good for."""
    shape, memory = targets[0].shape, policy.count_memory
    before = slots_by_host(pool, shape, count_memory=memory)
    after = slots_by_host(answer.pool, shape, count_memory=memory)
    for move in answer.moves:
        row = pool.host_row(move.source)
        gain = int(after[row] - before[row])
        reason = f"into room on {move.target} that was of little use"
        if gain > 0:
            reason = f"room for {gain} more of {shape.name} on {move.source}"
        yield replace(move, id="", reason=reason)


def _gain(pool: Pool, answer: Answer, targets: tuple[Target, ...]) -> dict[str, float]:
    shape = targets[0].shape
    gain = {
        "slots_before": answer.before,
        "slots_after": answer.after,
        "slots_bound": answer.bound,
        "proven": float(answer.proven),
        "moves": float(len(answer.moves)),
    }
    if len(targets) == 1 and shape.cpu_milli:
        gain["fragmentation_before"] = fragmentation(pool, shape, int(answer.before))
        gain["fragmentation_after"] = fragmentation(answer.pool, shape, int(answer.after))
    return {name: value for name, value in gain.items() if value != float("inf")}


def _findings(
    answer: Answer, targets: tuple[Target, ...], policy: DefragPolicy
) -> Iterator[Finding]:
    subject = f"shape/{targets[0].shape.name}" if len(targets) == 1 else "shapes"
    yield Finding(subject, Severity.INFO, _words(answer, policy))
    wanted = policy.slots_wanted
    if wanted and answer.after < wanted:
        text = f"{wanted} slots are wanted; {amount(answer.after)} are reached"
        if answer.bound < wanted:
            text += f", and no plan of at most {amount(policy.moves, 'moves')} reaches more than "
            text += amount(answer.bound)
        yield Finding(subject, Severity.WARNING, text)
    if answer.failure:
        text = f"the solver gave no answer ({answer.failure}); this is the heuristic's"
        yield Finding(subject, Severity.WARNING, text)


def _words(answer: Answer, policy: DefragPolicy) -> str:
    what = f"{amount(answer.after, 'slots')} with {amount(len(answer.moves), 'moves')}"
    if answer.bound == float("inf"):
        return f"{what}, without a bound"
    if answer.proven:
        return f"{what}, proven: no plan of at most {amount(policy.moves, 'moves')} gives more"
    if policy.slots_wanted and answer.after >= policy.slots_wanted:
        return f"{what}, as wanted"
    return f"{what}, at most {amount(answer.bound)} are possible"


def _nothing_wanted() -> Finding:
    text = "no shape is named, and no instance is there to take one from"
    return Finding("shapes", Severity.INFO, text)
