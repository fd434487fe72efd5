# SPDX-License-Identifier: Apache-2.0
"""The contract of whoever reaches management controllers, as tests to subclass.

    class TestSim(BmcContract):
        @pytest.fixture
        def stand(self) -> BmcStand: ...

It holds what a proof of death rests on: what is read is the truth, who is silent says nothing, and
another machine's controller proves nothing and is not touched.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from enum import StrEnum

import pytest

from billow.errors import NotFound, Refused, Unavailable
from billow.model.kinds import Power
from billow.ports import Bmc

NOWHERE = "no-such-host"


class Trouble(StrEnum):
    """What befalls a management controller."""

    DEAD = "dead"
    """It does not answer."""
    SWAPPED = "swapped"
    """It is another machine's."""
    SLOW = "slow"
    """Each answer takes more than a second."""


class BmcStand(ABC):
    """Two hosts that are on, with controllers whose identity is recorded.

    Attributes:
        first, second: Their names.
    """

    first: str = "h1"
    second: str = "h2"

    @abstractmethod
    async def open(self) -> Bmc:
        """Return a new object on these hosts, as a restarted controller would."""

    @abstractmethod
    async def close(self, bmc: Bmc) -> None:
        """Let go of such an object."""

    @abstractmethod
    async def powered(self, host: str) -> bool:
        """Return whether a host has power, in truth, whatever its controller says."""

    @abstractmethod
    async def strike(self, host: str, trouble: Trouble) -> None:
        """Let something befall a host's controller from now on."""

    @abstractmethod
    async def darken(self, host: str) -> None:
        """Let a host lose its power by itself, and its controller keep its own."""


class BmcContract:
    """Tests of one implementation of `billow.ports.Bmc`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run in asyncio."""
        return "asyncio"

    @pytest.fixture
    async def bmc(self, stand: BmcStand) -> AsyncIterator[Bmc]:
        """Open the stand's hosts for one test."""
        bmc = await stand.open()
        yield bmc
        await stand.close(bmc)

    async def test_it_is_known_as_what_it_is(self, bmc: Bmc) -> None:
        """Whoever composes an application finds it by its protocol."""
        assert isinstance(bmc, Bmc)

    async def test_what_is_read_is_true(self, bmc: Bmc, stand: BmcStand) -> None:
        """A host reads on while it has power, and off when it has none."""
        assert await bmc.power(stand.first) is Power.ON
        await stand.darken(stand.first)
        assert await bmc.power(stand.first) is Power.OFF
        assert await bmc.power(stand.second) is Power.ON

    async def test_off_is_proved_and_hits_nobody_else(self, bmc: Bmc, stand: BmcStand) -> None:
        """When `off` returns, the host has no power, a sentence says how, others are as before."""
        assert await bmc.off(stand.first)
        assert not await stand.powered(stand.first)
        assert await stand.powered(stand.second)
        assert await bmc.power(stand.first) is Power.OFF

    async def test_off_already_is_success(self, bmc: Bmc, stand: BmcStand) -> None:
        """A host that is off, by us or by itself, is proved to be off again."""
        await stand.darken(stand.first)
        assert await bmc.off(stand.first)
        again = await stand.open()
        assert await again.off(stand.first)
        await stand.close(again)
        assert not await stand.powered(stand.first)

    async def test_on_lets_it_return(self, bmc: Bmc, stand: BmcStand) -> None:
        """What was turned off and inhibited runs again after `on`."""
        await bmc.off(stand.first)
        await bmc.on(stand.first)
        assert await stand.powered(stand.first)
        assert await bmc.power(stand.first) is Power.ON

    async def test_identities_tell_hosts_apart(self, bmc: Bmc, stand: BmcStand) -> None:
        """An identity is one host's, and does not change."""
        first, second = await bmc.identity(stand.first), await bmc.identity(stand.second)
        assert first
        assert first != second
        assert await bmc.identity(stand.first) == first

    async def test_an_unknown_host_is_not_found(self, bmc: Bmc, stand: BmcStand) -> None:
        """Whatever is asked of a host without a controller, nothing is done."""
        for ask in (bmc.power, bmc.off, bmc.on, bmc.identity):
            with pytest.raises(NotFound):
                await ask(NOWHERE)
        assert await stand.powered(stand.first)

    async def test_silence_is_no_proof(self, bmc: Bmc, stand: BmcStand) -> None:
        """A controller that does not answer proves nothing, even where the host is off."""
        await stand.darken(stand.first)
        await stand.strike(stand.first, Trouble.DEAD)
        for ask in (bmc.power, bmc.off):
            with pytest.raises(Unavailable):
                await ask(stand.first)
        assert await bmc.power(stand.second) is Power.ON

    async def test_another_machine_proves_nothing_and_stays_on(self, stand: BmcStand) -> None:
        """A controller with another identity is not believed, and its host is not turned off."""
        await stand.strike(stand.first, Trouble.SWAPPED)
        bmc = await stand.open()
        for ask in (bmc.power, bmc.off):
            with pytest.raises(Refused) as refusal:
                await ask(stand.first)
            assert refusal.value.code == "wrong-host"
        assert await stand.powered(stand.first)
        assert await stand.powered(stand.second)
        await stand.close(bmc)

    async def test_slow_is_normal(self, bmc: Bmc, stand: BmcStand) -> None:
        """A controller that takes a second and more for each answer is waited for."""
        await stand.strike(stand.first, Trouble.SLOW)
        assert await bmc.power(stand.first) is Power.ON
        assert await bmc.off(stand.first)
        assert not await stand.powered(stand.first)
