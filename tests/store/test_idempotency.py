# SPDX-License-Identifier: Apache-2.0
"""A request that comes twice is answered once, on both databases."""

import asyncio

import pytest

from billow.errors import Conflict
from billow.store import Answer, Store

pytestmark = pytest.mark.anyio


async def test_the_first_answer_counts(store: Store) -> None:
    assert await store.recall("key") is None
    assert await store.claim("key", "print", at=1.0) is None
    assert await store.claim("key", "print", at=2.0) == Answer("print", None, 1.0)
    assert await store.remember("key", "print", "yes") == Answer("print", "yes", 1.0)
    assert await store.remember("key", "print", "no") == Answer("print", "yes", 1.0)
    assert await store.claim("key", "print", at=3.0) == Answer("print", "yes", 1.0)
    assert await store.recall("key") == Answer("print", "yes", 1.0)


async def test_remembered_without_a_claim(store: Store) -> None:
    await store.remember("key", "print", "yes", at=4.0)
    assert await store.recall("key") == Answer("print", "yes", 4.0)


async def test_a_key_is_for_one_request(store: Store) -> None:
    await store.claim("key", "print", at=1.0)
    for again in (store.claim("key", "other", at=2.0), store.remember("key", "other", "yes")):
        with pytest.raises(Conflict) as caught:
            await again
        assert caught.value.code == "idempotency-mismatch"
    assert await store.recall("key") == Answer("print", None, 1.0)


async def test_one_of_many_claims(store: Store) -> None:
    found = await asyncio.gather(*(store.claim("key", "print", at=float(n)) for n in range(20)))
    assert sum(answer is None for answer in found) == 1


async def test_a_claim_can_be_given_back_and_an_answer_not(store: Store) -> None:
    await store.claim("key", "print", at=1.0)
    await store.forget("key")
    assert await store.recall("key") is None
    await store.remember("key", "print", "yes")
    await store.forget("key")
    assert await store.recall("key") is not None


async def test_answers_grow_old(store: Store) -> None:
    await store.remember("old", "print", "yes", at=1.0)
    await store.claim("older", "print", at=0.5)
    await store.remember("new", "print", "yes", at=2.0)
    await store.expire_answers(2.0)
    assert [await store.recall(key) is None for key in ("old", "older", "new")] == [
        True,
        True,
        False,
    ]


async def test_strange_keys_are_keys(store: Store) -> None:
    for key in ["", "\0", "\ud800", "ü" * 10_000, "' --"]:
        assert await store.claim(key, key, at=1.0) is None
        await store.remember(key, key, key)
        answer = await store.recall(key)
        assert answer is not None
        assert await store.recall(key + "x") is None
        if key.isprintable():
            assert answer.response == key
