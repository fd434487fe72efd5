# SPDX-License-Identifier: Apache-2.0
"""Tokens, sessions, roles and the audit trail, on both databases."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from billow.errors import Denied, Invalid, NotFound, Unauthenticated
from billow.identity.attempts import AT_ONCE, EVERY_S, SOURCES, Attempts
from billow.identity.keeper import Keeper
from billow.identity.person import Person
from billow.identity.secret import digest_of, is_secret, new_secret
from billow.identity.session import KEY_S, SESSION_S
from billow.model.access import Role
from billow.model.event import EventKind
from billow.store import Store
from billow.testing.clock import START, VirtualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def keeper(store: Store, clock: VirtualClock) -> Keeper:
    return Keeper(store, clock)


async def audit(store: Store) -> list[str]:
    """Return the audit trail's words."""
    events = await store.events()
    assert all(event.kind is EventKind.AUDIT for event in events)
    return [event.text for event in events]


async def test_a_token_says_who_asks(keeper: Keeper, store: Store) -> None:
    token, secret = await keeper.create("ada", Role.OPERATOR, actor="root")
    assert is_secret(secret)
    assert await keeper.who(secret) == Person("ada", Role.OPERATOR, token.id)
    assert [each.id for each in await keeper.tokens()] == [token.id]
    assert await audit(store) == ["root made a token for ada, operator"]
    assert (await store.events())[0].subjects == (f"token/{token.id}",)


async def test_only_the_digest_is_kept(keeper: Keeper, store: Store) -> None:
    token, secret = await keeper.create("ada", Role.VIEWER)
    assert token.digest == digest_of(secret)
    assert secret not in repr(await store.tokens())
    assert secret[3:] not in repr(await store.events())


async def test_tokens_differ_each_time() -> None:
    assert len({new_secret() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("role", Role)
async def test_roles_include_those_before(role: Role) -> None:
    person = Person("ada", role)
    order = list(Role)
    may = [each for each in Role if person.may(each)]
    assert may == order[: order.index(role) + 1]
    for each in set(Role) - set(may):
        with pytest.raises(Denied, match=f"ada is {role}, and this needs {each}"):
            person.require(each)


async def test_revoked_at_once(keeper: Keeper, store: Store) -> None:
    token, secret = await keeper.create("ada", Role.ADMIN)
    cookie = await keeper.log_in(secret)
    await keeper.revoke(token.id, actor="root")
    for use in (keeper.who(secret), keeper.log_in(secret), keeper.session(cookie)):
        with pytest.raises(Unauthenticated):
            await use
    assert await keeper.tokens() == []
    again = await keeper.revoke(token.id)
    assert again.revoked_at == START
    with pytest.raises(NotFound):
        await keeper.revoke("nothing")
    assert "root revoked a token of ada" in await audit(store)


async def test_expires(keeper: Keeper, clock: VirtualClock) -> None:
    _, secret = await keeper.create("ada", Role.ADMIN, ttl_s=100.0)
    cookie = await keeper.log_in(secret)
    clock.advance(99.5)
    await keeper.who(secret)
    await keeper.session(cookie)
    clock.advance(0.5)
    for use in (keeper.who(secret), keeper.log_in(secret), keeper.session(cookie)):
        with pytest.raises(Unauthenticated):
            await use


async def test_a_time_must_be_one(keeper: Keeper) -> None:
    for ttl_s in [0.0, -1.0, float("nan"), float("inf")]:
        with pytest.raises(Invalid):
            await keeper.create("ada", Role.ADMIN, ttl_s)
        assert await keeper.tokens() == []


async def test_a_name_must_be_one(keeper: Keeper) -> None:
    for name in ["", " ", "a b", "x" * 300, "\0", "a\nb", "-rf"]:
        with pytest.raises(Invalid):
            await keeper.create(name, Role.ADMIN)
        assert await keeper.tokens() == []


async def test_last_use_is_right_to_a_minute(
    keeper: Keeper, store: Store, clock: VirtualClock
) -> None:
    token, secret = await keeper.create("ada", Role.VIEWER)
    times = []
    for _ in range(4):
        await keeper.who(secret)
        known = await store.token_by_id(token.id)
        assert known is not None
        times.append(known.last_used_at - START)
        clock.advance(40.0)
    assert times == [0.0, 0.0, 80.0, 80.0]


def hostile(secret: str) -> list[str]:
    """Return tokens that look like a good one, or like nothing on earth."""
    return [
        "", " ", secret[:-1], secret + "A", secret[3:], secret.upper(), f" {secret}", f"{secret}\n",
        secret[:-1] + ("A" if secret[-1] != "A" else "B"), new_secret(), "bw_" + "\0" * 43,
        "bw_" + "é" * 43, "bw_" + "\ud800" * 43, "bw_" + "\u0661" * 43, "x" * 10_000_000,
        "' OR '1'='1", digest_of(secret), "bw_" + "=" * 43, "%00", "../../token",
    ]  # fmt: skip


async def test_hostile_tokens_open_nothing(
    keeper: Keeper, store: Store, clock: VirtualClock
) -> None:
    _, secret = await keeper.create("ada", Role.ADMIN)
    before = await store.tokens()
    for wrong in hostile(secret):
        for use in (keeper.who, keeper.log_in):
            clock.advance(EVERY_S)
            with pytest.raises(Unauthenticated) as caught:
                await use(wrong)
            assert caught.value.code == "bad-token"
    assert await store.tokens() == before
    assert set((await audit(store))[1:]) == {"an unknown token was shown"}
    await keeper.who(secret)


async def test_a_session_stands_for_a_token(keeper: Keeper, clock: VirtualClock) -> None:
    token, secret = await keeper.create("ada", Role.OPERATOR)
    cookie = await keeper.log_in(secret)
    assert secret not in cookie
    assert await keeper.session(cookie) == Person("ada", Role.OPERATOR, token.id)
    clock.advance(SESSION_S - 1)
    await keeper.session(cookie)
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        await keeper.session(cookie)


async def test_another_controller_knows_the_session(store: Store, clock: VirtualClock) -> None:
    one, two = Keeper(store, clock), Keeper(store, clock)
    _, secret = await one.create("ada", Role.VIEWER)
    assert await two.session(await one.log_in(secret)) == await two.who(secret)


async def test_hostile_cookies_open_nothing(keeper: Keeper, store: Store) -> None:
    _, secret = await keeper.create("ada", Role.VIEWER)
    admin, _ = await keeper.create("eve", Role.ADMIN)
    cookie = await keeper.log_in(secret)
    key, name, end, signature = cookie.split(".")
    before = await store.tokens(), await store.events()
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for wrong in (
        "", "....", cookie[:-1], cookie + "A", cookie.upper(), f"{key}.{name}.{end}",
        f"{key}.{admin.id}.{end}.{signature}", f"{key}.{name}.{int(end) + 1}.{signature}",
        f"{int(key) + 1}.{name}.{end}.{signature}", f"0.{name}.{end}.{signature}",
        f"-1.{name}.{end}.{signature}", f"{'9' * 18}.{name}.{end}.{signature}",
        f"{'9' * 400}.{name}.{end}.{signature}", f"{key}.{name}.{end}.{flipped}",
        f"{key}.{name}.{end}.{'é' * 43}", f"{key}.{name}.{end}.", "\0" * 99, "x" * 10_000_000,
        f"\u0661.{name}.{end}.{signature}", f"{key}.{name}.{end}.{signature}\n", "\ud800",
    ):  # fmt: skip
        with pytest.raises(Unauthenticated):
            await keeper.session(wrong)
    assert (await store.tokens(), await store.events()) == before
    await keeper.session(cookie)


async def test_keys_change_and_old_sessions_live_out(
    keeper: Keeper, store: Store, clock: VirtualClock
) -> None:
    _, secret = await keeper.create("ada", Role.VIEWER)
    first = await keeper.log_in(secret)
    clock.advance(KEY_S)
    old = await keeper.log_in(secret)
    clock.advance(1)
    new = await keeper.log_in(secret)
    assert [cookie.split(".")[0] for cookie in (first, old, new)] == ["1", "1", "2"]
    await keeper.session(old)
    clock.advance(KEY_S + 1)
    await keeper.log_in(secret)
    assert await store.session_key(1) is None
    assert await store.session_key(2) is not None


async def test_all_sessions_can_be_ended(store: Store, clock: VirtualClock) -> None:
    one, two = Keeper(store, clock), Keeper(store, clock)
    _, secret = await one.create("ada", Role.VIEWER)
    cookie = await one.log_in(secret)
    await two.end_sessions(actor="root")
    with pytest.raises(Unauthenticated):
        await one.session(cookie)
    await one.session(await one.log_in(secret))


async def test_wrong_tokens_are_limited_per_source(
    keeper: Keeper, store: Store, clock: VirtualClock
) -> None:
    _, known = await keeper.create("ada", Role.VIEWER)
    _, fresh = await keeper.create("eve", Role.VIEWER)
    await keeper.who(known, source="here")

    async def codes(tries: int, source: str) -> list[str]:
        found = []
        for _ in range(tries):
            with pytest.raises(Unauthenticated) as caught:
                await keeper.who(new_secret(), source=source)
            found.append(caught.value.code)
        return found

    told = len(await audit(store))
    wrong = ["bad-token"] * AT_ONCE
    assert await codes(AT_ONCE + 50, "here") == wrong + ["too-many-attempts"] * 50
    assert len(await audit(store)) == told + AT_ONCE
    with pytest.raises(Unauthenticated, match="too many"):
        await keeper.who(fresh, source="here")
    await keeper.who(fresh, source="elsewhere")
    await keeper.who(known, source="here")
    clock.advance(EVERY_S)
    assert await codes(2, "here") == ["bad-token", "too-many-attempts"]
    clock.advance(EVERY_S)
    await keeper.who(fresh, source="here")


async def test_attempts_are_bounded_in_memory() -> None:
    attempts = Attempts()
    for number in range(SOURCES + 10):
        attempts.fail(f"source {number}", 0.0)
    assert len(attempts._left) == SOURCES
    assert "source 0" not in attempts._left


async def test_the_first_admin_is_in_a_file(keeper: Keeper, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "state" / "token"
    secret = await keeper.bootstrap(path)
    assert path.read_text() == f"{secret}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await keeper.who(secret)).role is Role.ADMIN
    assert await keeper.bootstrap(path) == secret
    assert len(await store.tokens()) == 1
    assert await audit(store) == ["billow made the first token for admin"]


def is_there(path: Path) -> bool:
    """Return whether there is anything at a path."""
    return os.path.lexists(path)


async def test_no_file_where_an_admin_is_known(keeper: Keeper, tmp_path: Path) -> None:
    await keeper.create("ada", Role.ADMIN)
    path = tmp_path / "token"
    assert await keeper.bootstrap(path) == ""
    assert not is_there(path)


async def test_a_locked_out_house_opens_again(keeper: Keeper, tmp_path: Path) -> None:
    path = tmp_path / "token"
    first = await keeper.bootstrap(path)
    await keeper.create("ada", Role.OPERATOR)
    await keeper.revoke((await keeper.who(first)).token_id)
    second = await keeper.bootstrap(path)
    assert second != first
    assert (await keeper.who(second)).role is Role.ADMIN
    assert path.read_text() == f"{second}\n"


async def test_a_broken_file_is_replaced(keeper: Keeper, tmp_path: Path) -> None:
    for text in ["", "nonsense", "bw_short", "\xff\xfe", "x" * 100_000]:
        path = tmp_path / "token"
        path.write_text(text)
        path.chmod(0o600)
        secret = await keeper.bootstrap(path)
        admin = await keeper.who(secret)
        assert admin.name == "admin"
        assert path.read_text() == f"{secret}\n"
        await keeper.revoke(admin.token_id)


async def test_unsafe_files_are_refused(keeper: Keeper, tmp_path: Path) -> None:
    readable, link, folder = (tmp_path / name for name in ("readable", "link", "folder"))
    readable.write_text(new_secret())
    readable.chmod(0o640)
    link.symlink_to(tmp_path / "elsewhere")
    folder.mkdir()
    for path in (readable, link, folder):
        with pytest.raises(Invalid) as caught:
            await keeper.bootstrap(path)
        assert caught.value.code == "token-file-unsafe"
    assert await keeper.tokens() == []


async def test_many_start_at_once(store: Store, clock: VirtualClock, tmp_path: Path) -> None:
    keepers = [Keeper(store, clock) for _ in range(8)]
    same = await asyncio.gather(*(each.bootstrap(tmp_path / "token") for each in keepers))
    assert len(set(same)) == 1
    await keepers[0].who(same[0])
    assert len(await store.tokens()) == 1


async def test_machines_start_at_once(store: Store, clock: VirtualClock, tmp_path: Path) -> None:
    paths = [tmp_path / f"machine{number}" / "token" for number in range(8)]
    keepers = [Keeper(store, clock) for _ in paths]
    secrets = await asyncio.gather(
        *(keeper.bootstrap(path) for keeper, path in zip(keepers, paths, strict=True))
    )
    (first,) = filter(None, secrets)
    await keepers[0].who(first)
    assert [path.exists() for path in paths] == [bool(secret) for secret in secrets]


async def test_errors_tell_no_secret(keeper: Keeper) -> None:
    _, secret = await keeper.create("ada", Role.VIEWER)
    almost = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    with pytest.raises(Unauthenticated) as caught:
        await keeper.who(almost)
    assert almost[3:20] not in f"{caught.value!r} {caught.value} {caught.value.document()}"
