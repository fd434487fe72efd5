# SPDX-License-Identifier: Apache-2.0
"""The management controllers of one engine's hosts; fulfils `billow.ports.Bmc`.

It knows no protocol: a `Line` does. What it adds is what makes an answer a proof: the identity, the
paths in turn, two readings, and that an answer which does not come says nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from billow.act.power.exchange import whole
from billow.act.power.identity import check_identity, same_machine
from billow.act.power.inventory import DIRECT, Controller
from billow.act.power.line import Dial, Line, Reading
from billow.act.power.prove import Patience, prove_off
from billow.act.power.readings import Readings
from billow.act.power.records import Identities
from billow.act.power.turns import in_turn
from billow.errors import BillowError, Conflict, NotFound, Unavailable
from billow.model.kinds import Power
from billow.ports import Clock

_DAY_S: Final = 90_000.0
"""How long a matched identity lets an order be given before it is read again: a day and an hour."""
_NEXT_PATH_S: Final = 3.0
_NEXT_PROOF_S: Final = 6.0
_BAR_S: Final = 0.05
"""How long a proof waits for the host's return to be inhibited."""
_LOOK_EVERY_S: Final = 1.0
_LINGER_S: Final = 20.0
"""How long an order may still be acknowledged after the power was read off twice."""

Found = TypeVar("Found")


class Controllers:
    """Hosts and the lines to their management controllers."""

    def __init__(
        self, known: Sequence[Controller], dial: Dial, identities: Identities, clock: Clock
    ) -> None:
        self._known = {each.host: each for each in known}
        self._dial = dial
        self._identities = identities
        self._clock = clock
        self._lines: dict[tuple[str, str], Line] = {}
        self._best: dict[str, str] = {}
        self._matched: dict[str, float] = {}
        self._readings: defaultdict[str, Readings] = defaultdict(Readings)
        self._afterwards: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that have a controller here."""
        return frozenset(self._known)

    def paths(self, host: str) -> tuple[str, ...]:
        """Return the paths to a host's controller, the last that worked first. Raises NotFound."""
        paths = self._of(host).proxies
        best = self._best.get(host, paths[0])
        return (best, *(each for each in paths if each != best))

    def recorded(self, host: str) -> str:
        """Return which machine a host is, as it was recorded; empty when it was not."""
        return self._of(host).uuid or self._identities.recorded(host)

    async def learn(self, host: str, machine: str) -> None:
        """Keep which machine a healthy host is, unless it is known.

        Raises:
            NotFound: it has no controller here.
            Invalid: many machines show that identity.
            Conflict: it was recorded otherwise, or is another host.
        """
        self._of(host)
        known = self.recorded(host)
        if known and same_machine(known, machine):
            return
        told = self._identities.all()
        others = {each: at.uuid or told.get(each, "") for each, at in self._known.items()}
        is_it = (each for each, who in others.items() if who and same_machine(who, machine))
        if (twin := next(is_it, host)) != host:
            raise Conflict(f"{host} says that it is the machine of {twin}", (machine,))
        if known:
            raise Conflict(
                f"{host} was another machine until now",
                (f"known: {known}", f"told: {machine}"),
                "if the machine was exchanged, write its uuid into bmc.toml",
            )
        await self._identities.record(host, machine)

    async def power(self, host: str) -> Power:
        """Return what its controller reads now. Raises as `billow.ports.Bmc`."""
        reading = await self._try_paths(host, self.read)
        return reading.power

    async def identity(self, host: str) -> str:
        """Return who its controller says that it is. Raises as `billow.ports.Bmc`."""
        reading = await self._try_paths(host, lambda _, path: self._line(host, path).read())
        return reading.identities[0] if reading.identities else ""

    async def read(self, host: str, path: str) -> Reading:
        """Read over one path, and check who answers. Raises Unavailable, Refused."""
        readings = self._readings[host]
        question = readings.ask(self._clock.now())
        try:
            reading = await self._line(host, path).read()
            self._check(host, reading)
            question.answered, question.power = self._clock.now(), reading.power
        finally:
            readings.end(question)
        return reading

    async def rehearse(self, host: str) -> str:
        """Read over every path; return what each showed. Raises as `billow.ports.Bmc`."""
        paths = self.paths(host)
        found = await asyncio.gather(
            *(self.read(host, path) for path in paths), return_exceptions=True
        )
        shown = [f"{path}: {_shown(each)}" for path, each in zip(paths, found, strict=True)]
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, BillowError):
                raise each
        if not any(isinstance(each, Reading) for each in found):
            (first, *_) = (each for each in found if isinstance(each, BillowError))
            raise type(first)(first.brief, tuple(shown), first.fix, first.code)
        return "; ".join(shown)

    async def off(self, host: str) -> str:
        """Turn a host off and prove it. Raises as `billow.ports.Bmc`."""
        if self._clock.now() - self._matched.get(host, -_DAY_S) >= _DAY_S:
            await self.power(host)
        return await self._try_paths(host, self._off_over, _NEXT_PROOF_S)

    async def on(self, host: str) -> None:
        """Let a host return, turn it on, and read that. Raises as `billow.ports.Bmc`.

        What goes on after a proof that it is off ends first; a proof that is still sought does not.
        """
        await self._end_afterwards(host, self._of(host).answer_s)
        await self.power(host)
        await self._try_paths(host, self._on_over)

    async def ask_off(self, host: str) -> bool:
        """Ask an operating system to shut down; return whether it did in its time.

        Raises as `billow.ports.Bmc`.
        """
        await self.power(host)
        await self._try_paths(host, lambda _, path: self._line(host, path).ask_off())
        return await self._becomes(host, Power.OFF, self._of(host).shutdown_s)

    async def cut(self, host: str) -> str:
        """Turn a host off and prove it, but let it return. Raises as `billow.ports.Bmc`."""
        await self.power(host)
        return await self._try_paths(
            host, lambda _, path: self._off_over(host, path, bars=False), _NEXT_PROOF_S
        )

    def now(self) -> float:
        """Return seconds since the epoch, by the clock that all of this goes by."""
        return self._clock.now()

    async def aclose(self) -> None:
        """Let go of all lines."""
        await asyncio.gather(*(self._end_afterwards(host, 0.0) for host in self._known))
        await asyncio.gather(*(each.aclose() for each in self._lines.values()))
        self._lines.clear()

    async def _off_over(self, host: str, path: str, *, bars: bool = True) -> str:
        known, line = self._of(host), self._line(host, path)
        apart_s = await prove_off(
            line,
            lambda reading: self._check(host, reading),
            self._clock,
            Patience(known.at_once, known.off_s),
            readings=self._readings[host],
            linger=partial(self._linger, host),
        )
        over = "" if path == DIRECT else f" over {path}"
        proved = (
            f"{known.kind} {known.address}{over} of machine {self.recorded(host)} was told to turn "
            f"it off, and read off twice, {apart_s:.1f} s apart"
        )
        if not bars:
            return proved
        barring = asyncio.create_task(self._bar(line))
        self._keep(host, barring)
        await asyncio.wait({barring}, timeout=_BAR_S)
        return f"{proved}; {_barred(barring)}"

    async def _bar(self, line: Line) -> tuple[str, ...]:
        """Inhibit a return as far as that can be done; what cannot is said, and stops nothing."""
        try:
            return await whole(line.bar())
        except BillowError as error:
            return (f"its return is not inhibited: {error.brief}",)

    async def _on_over(self, host: str, path: str) -> None:
        line = self._line(host, path)
        await line.unbar()
        await line.give()
        if not await self._becomes(host, Power.ON, self._of(host).off_s):
            raise Unavailable(
                f"{host} was told to turn on and does not read on", fix="look at the host"
            )

    async def _becomes(self, host: str, wanted: Power, limit_s: float) -> bool:
        """Read again and again until the power is as wanted; return whether it is."""
        until = self._clock.now() + limit_s
        while True:
            try:
                if await self.power(host) is wanted:
                    return True
            except Unavailable:
                pass
            if self._clock.now() + _LOOK_EVERY_S > until:
                return False
            await self._clock.sleep(_LOOK_EVERY_S)

    def _check(self, host: str, reading: Reading) -> None:
        try:
            check_identity(host, self.recorded(host), reading.identities)
        except BillowError:
            self._matched.pop(host, None)
            raise
        self._matched[host] = self._clock.now()

    async def _try_paths(
        self,
        host: str,
        attempt: Callable[[str, str], Awaitable[Found]],
        patience_s: float = _NEXT_PATH_S,
    ) -> Found:
        paths = self.paths(host)

        def begun(path: str) -> Callable[[], Awaitable[Found]]:
            return lambda: attempt(host, path)

        place, found = await in_turn([begun(path) for path in paths], patience_s)
        self._best[host] = paths[place]
        return found

    def _of(self, host: str) -> Controller:
        if host not in self._known:
            raise NotFound(f"no management controller of {host} is known", fix="add it to bmc.toml")
        return self._known[host]

    def _line(self, host: str, path: str) -> Line:
        if (host, path) not in self._lines:
            self._lines[host, path] = self._dial(self._of(host), path)
        return self._lines[host, path]

    def _linger(self, host: str, order: asyncio.Task[None]) -> None:
        """Let an order that is not over yet take its time, but not for ever."""
        self._keep(host, order)
        asyncio.get_running_loop().call_later(_LINGER_S, order.cancel)

    def _keep(self, host: str, task: asyncio.Task[Any]) -> None:
        """Remember what goes on after a proof, until it ends by itself or is ended."""
        self._afterwards[host].add(task)
        task.add_done_callback(self._afterwards[host].discard)

    async def _end_afterwards(self, host: str, patience_s: float) -> None:
        """End what goes on after a proof: nothing turns the host off, or bars it, from now on.

        An exchange that is under way may take so long to end; then it is broken off.
        """
        tasks = set(self._afterwards[host])
        for task in tasks:
            if not task.cancelling():  # a second time would break its exchange off
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _barred(barring: asyncio.Task[tuple[str, ...]]) -> str:
    """Return what a proof says of the host's return."""
    if not barring.done():
        return "its return is being inhibited"
    if barring.cancelled():
        return "its return is not inhibited: it was turned on meanwhile"
    return "; ".join(barring.result()) or "its return is inhibited"


def _shown(found: Reading | BaseException) -> str:
    return f"reads {found.power}" if isinstance(found, Reading) else str(found).partition("\n")[0]
