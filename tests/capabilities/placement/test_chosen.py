# SPDX-License-Identifier: Apache-2.0
"""Requests whose hosts were chosen by somebody else go there or nowhere."""

import pytest

from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy
from billow.errors import NotFound
from billow.model.action import Place
from billow.model.instance import Instance
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.pools import pool as pool_of

SHAPE = Shape("n", 4000, 4096)


def proposed(pool: Pool, *names: str, **chosen: str) -> Proposal:
    grown = pool.with_requests([Instance(name, SHAPE) for name in names])
    return Placement().propose(grown, PlacementPolicy(chosen=chosen))


def where(proposal: Proposal) -> dict[str, str]:
    return {each.instance.id: each.host for each in proposal.actions if isinstance(each, Place)}


def test_each_goes_where_it_was_chosen_to_and_the_rest_as_usual() -> None:
    pool = pool_of("3 hosts x 64GiB 16c; x: 2 vms x 4GiB 4c on=h2")
    found = proposed(pool, "a", "b", "c", a="h2", b="h2")
    assert where(found) == {"a": "h2", "b": "h2", "c": "h1"}
    reasons = {each.instance.id: each.reason for each in found.actions if isinstance(each, Place)}
    assert reasons["b"].startswith("as chosen: ")
    assert reasons["c"].startswith("spread: ")


def test_what_is_chosen_goes_before_what_could_go_elsewhere() -> None:
    pool = pool_of("2 hosts x 64GiB 4c")
    assert where(proposed(pool, "a", "b", b="h1")) == {"a": "h2", "b": "h1"}


def test_one_that_does_not_fit_there_goes_nowhere_and_says_why() -> None:
    pool = pool_of("2 hosts x 64GiB 4c; x: 1 vm x 4GiB 2c on=h1")
    found = proposed(pool, "a", "b", a="h1", b="h2")
    assert where(found) == {"b": "h2"}
    [rejection] = found.rejections
    assert rejection.subject == "instance/a"
    assert [each.rpartition(": ")[2] for each in rejection.causes] == [
        "not to be used for it",
        "too little free CPU",
    ]
    assert rejection.fix == "free 2 CPUs on h1"


def test_equal_requests_for_different_hosts_have_their_own_reasons() -> None:
    pool = pool_of("2 hosts x 8GiB 8c; x: 1 vm x 1GiB 5c on=h1; y: 1 vm x 7GiB 1c on=h2")
    found = proposed(pool, "a", "b", a="h1", b="h2")
    fixes = {each.subject: each.fix for each in found.rejections}
    assert fixes == {"instance/a": "free 1 CPU on h1", "instance/b": "free 3 GiB on h2"}


def test_an_unknown_host_is_an_error_and_an_unknown_request_is_not() -> None:
    pool = pool_of("1 hosts x 64GiB 16c")
    assert where(proposed(pool, "a", other="h1")) == {"a": "h1"}
    with pytest.raises(NotFound, match="h9"):
        proposed(pool, "a", a="h9")
