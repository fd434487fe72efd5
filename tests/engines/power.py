# SPDX-License-Identifier: Apache-2.0
"""Emulated management controllers as a stand, and what any protocol must make of their faults."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from labs.ha.bmc import Emulator

from billow.act.clock import SystemClock
from billow.act.power import controllers
from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.line import Dial
from billow.act.power.records import Identities
from billow.errors import Refused, Unavailable
from billow.model.kinds import Power
from billow.ports import Bmc, Clock
from billow.testing.bmc_contract import BmcContract, BmcStand, Trouble

UUIDS = {
    "h1": "4c4c4544-0042-3610-8051-b4c04f564231",
    "h2": "4c4c4544-0042-3610-8051-b4c04f564232",
}
SPEED = 4.0
"""Seconds of the stand's clock in one of ours: what is 1 s apart there is 0.25 s apart here."""
OTHER = "4c4c4544-0042-3610-8051-b4c04f5642ff"
SLOW_S = 0.4
"""Each answer of a slow controller, our seconds."""


class FastClock(SystemClock):
    """Time that goes faster than ours, for whoever waits between questions."""

    def now(self) -> float:
        return super().now() * SPEED

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / SPEED)


class EmulatedStand(BmcStand):
    """Two emulated controllers; `more` is what their entries say beside the usual."""

    def __init__(self, emulators: dict[str, Emulator], dial: Dial, folder: Path) -> None:
        self.emulators, self._dial, self._folder = emulators, dial, folder
        for each in emulators.values():
            each.renew()

    async def open(self, clock: Clock | None = None, **more: object) -> Controllers:
        settings = {"answer_s": 1.5, "off_s": 60.0, "shutdown_s": 3.0, **more}
        known = [
            Controller.model_validate(each.entry(host, **settings))
            for host, each in self.emulators.items()
        ]
        return Controllers(known, self._dial, Identities(self._folder), clock or FastClock())

    async def close(self, bmc: Bmc) -> None:
        assert isinstance(bmc, Controllers)
        await bmc.aclose()

    async def powered(self, host: str) -> bool:
        return self.emulators[host].power == "on"

    async def strike(self, host: str, trouble: Trouble) -> None:
        faults: dict[Trouble, dict[str, object]] = {
            Trouble.DEAD: {"silent": True},
            Trouble.SWAPPED: {"uuid": OTHER},
            Trouble.SLOW: {"slow_s": SLOW_S},
        }
        self.emulators[host].set(**faults[trouble])

    async def darken(self, host: str) -> None:
        await asyncio.to_thread(self.emulators[host].become, "off")


class EmulatedContract(BmcContract):
    """The contract, and the faults that real controllers have."""

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wait until a return is inhibited, however busy the machine is."""
        monkeypatch.setattr(controllers, "_BAR_S", 10.0)

    async def test_off_is_off_though_the_answer_is_an_error(self, stand: EmulatedStand) -> None:
        first = stand.emulators["h1"]
        first.set(refuses_off=True)
        await stand.darken("h1")
        bmc = await stand.open()
        assert "read off twice" in await bmc.off("h1")
        first.catch_up()
        assert first.orders == ["off"]
        await bmc.aclose()

    async def test_its_return_is_inhibited_until_it_is_let_on(self, stand: EmulatedStand) -> None:
        first = stand.emulators["h1"]
        bmc = await stand.open()
        assert "its return is inhibited" in await bmc.off("h1")
        first.catch_up()
        assert (first.boot, first.restore) == ("setup", "always-off")
        await bmc.on("h1")
        first.catch_up()
        assert (first.boot, first.restore) == ("default", "previous")
        await bmc.aclose()

    async def test_a_return_that_cannot_be_inhibited_is_told(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(bars=False)
        bmc = await stand.open()
        proof = await bmc.off("h1")
        assert "boot override not set" in proof
        assert "restore policy not set" in proof
        assert not await stand.powered("h1")
        await bmc.on("h1")
        await bmc.aclose()

    async def test_an_order_that_was_only_acknowledged_is_no_proof(
        self, stand: EmulatedStand
    ) -> None:
        stand.emulators["h1"].set(deaf=True)
        bmc = await stand.open(off_s=8.0)
        with pytest.raises(Unavailable, match="did not read off in time"):
            await bmc.off("h1")
        assert await stand.powered("h1")
        stand.emulators["h1"].catch_up()
        assert stand.emulators["h1"].boot == "default"
        await bmc.aclose()

    async def test_a_controller_that_reads_on_for_ever_is_no_proof(
        self, stand: EmulatedStand
    ) -> None:
        stand.emulators["h1"].set(says="on")
        bmc = await stand.open(off_s=8.0)
        with pytest.raises(Unavailable, match="did not read off in time"):
            await bmc.off("h1")
        assert not await stand.powered("h1")
        await bmc.aclose()

    async def test_a_lie_of_being_off_is_read_as_it_is_told(self, stand: EmulatedStand) -> None:
        """No controller can be caught lying by itself: the table weighs it against the beats."""
        stand.emulators["h1"].set(says="off", deaf=True)
        bmc = await stand.open()
        assert await bmc.power("h1") is Power.OFF
        assert await stand.powered("h1")
        await bmc.aclose()

    async def test_stale_readings_are_waited_out(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(stale_s=0.8)
        bmc = await stand.open()
        began = time.monotonic()
        await bmc.off("h1")
        assert time.monotonic() - began >= 1.0
        assert not await stand.powered("h1")
        await bmc.aclose()

    async def test_power_that_goes_late_is_waited_for(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(off_takes_s=0.8)
        bmc = await stand.open()
        await bmc.off("h1")
        assert not await stand.powered("h1")
        await bmc.aclose()

    async def test_what_dies_with_its_host_proves_nothing(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(dies_with_host=True)
        bmc = await stand.open(off_s=8.0)
        with pytest.raises(Unavailable):
            await bmc.off("h1")
        assert not await stand.powered("h1")
        await bmc.aclose()

    async def test_a_refused_order_is_told_soon(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(forbids=True)
        bmc = await stand.open()
        with pytest.raises(Refused, match="refuses"):
            await bmc.off("h1")
        assert await stand.powered("h1")
        await bmc.aclose()

    async def test_few_sessions_are_enough(self, stand: EmulatedStand) -> None:
        stand.emulators["h1"].set(sessions=1, slow_s=0.2)
        bmc = await stand.open(at_once=1, off_s=60.0)
        assert "read off twice" in await bmc.off("h1")
        await bmc.aclose()

    async def test_a_wrong_password_is_told(self, stand: EmulatedStand, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("wrong\n")
        secret.chmod(0o600)
        bmc = await stand.open(secret_file=secret)
        with pytest.raises(Refused) as refusal:
            await bmc.power("h1")
        assert refusal.value.code == "bmc-denied"
        await bmc.aclose()

    async def test_what_nobody_recorded_proves_nothing(self, stand: EmulatedStand) -> None:
        bmc = await stand.open(uuid="")
        with pytest.raises(Refused, match="nobody has recorded") as refusal:
            await bmc.off("h1")
        assert refusal.value.code == "wrong-host"
        assert stand.emulators["h1"].orders == []
        await Identities(stand._folder).record("h1", await bmc.identity("h1"))
        assert await bmc.power("h1") is Power.ON
        await bmc.aclose()


def started(kind: str, make: Callable[..., Emulator] = Emulator) -> dict[str, Emulator]:
    """Start one emulated controller for each host."""
    return {host: make(kind, uuid=uuid).start() for host, uuid in UUIDS.items()}
