# SPDX-License-Identifier: Apache-2.0
"""What a pool draws a day, now and once the proposal is carried out: energy, money, CO2, hosts."""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.power.energy import HOUR_S, carbon_kg, watts
from billow.capabilities.power.outlook import outlook
from billow.capabilities.power.policy import PowerPolicy
from billow.capabilities.power.scene import Scene
from billow.model.counting import counted
from billow.model.kinds import Power, code_of
from billow.model.plan import Finding, Severity
from billow.model.pool import Pool
from billow.model.report import (
    Better,
    Cell,
    Column,
    Form,
    Grid,
    Measure,
    Picture,
    Report,
    Series,
)
from billow.model.resources import CPU, FloatArray

MOST_ROWS = 50
MOST_POINTS = 288
_ON, _OFF = code_of(Power.ON), code_of(Power.OFF)
_COLUMNS = (
    Column("host", "Host", link="host"),
    Column("zone", "Zone"),
    Column("power", "Power"),
    Column("instances", "Instances"),
    Column("load_share", "Expected load", "share"),
    Column("risk_share", "Risk of overload", "share"),
    Column("watts", "Draws", "watts"),
    Column("could", "Could"),
)


def power_report(pool: Pool, policy: PowerPolicy) -> Report:
    """Return the report of a pool."""
    return _Page(pool, policy).report()


@dataclass(frozen=True, slots=True)
class _Bill:
    """What an even draw comes to in a day."""

    kwh: float
    euro: float
    co2_kg: float | None


class _Page:
    """The pool as it is, and what a round of planning would make of it."""

    def __init__(self, pool: Pool, policy: PowerPolicy) -> None:
        self._pool = pool
        self._policy = policy
        self._scene = scene = Scene(pool, policy)
        board = scene.ground.board
        self._risk = board.risk()
        self._load = board.mean / np.maximum(scene.cpus, 1.0)
        self._count = np.bincount(
            pool.instances.host[pool.instances.host >= 0], minlength=len(pool.hosts)
        )
        off = pool.hosts.power == _OFF
        self._watts: FloatArray = np.where(
            off, policy.asleep_watts, watts(scene.curves, self._load)
        )
        drawn = float(self._watts.sum())
        self._ahead = outlook(scene)
        self._now = self._bill(drawn)
        self._after = self._bill(max(drawn - self._ahead.spared_watts, 0.0))

    def report(self) -> Report:
        return Report(
            "power",
            "Power",
            self._summary(),
            self._measures(),
            (self._hosts(),),
            self._pictures(),
            self._findings(),
        )

    def _bill(self, drawn: float) -> _Bill:
        kwh = drawn * 24 * HOUR_S / 3.6e6 * self._policy.overhead_ratio
        co2 = carbon_kg(kwh, self._policy, self._pool.taken_at)
        return _Bill(kwh, kwh * self._policy.euro_per_kwh, co2)

    def _summary(self) -> str:
        count = self._ahead.sleep
        now = f"The hosts draw {self._now.kwh:.1f} kWh a day"
        if not count:
            return f"{now}; none of them can be spared."
        spared = self._now.kwh - self._after.kwh
        about = "about " if self._ahead.about else ""
        hosts = counted(count, "host")
        return f"{now}; {about}{hosts} could sleep, which spares {about}{spared:.1f} kWh a day."

    def _measures(self) -> tuple[Measure, ...]:
        on = self._pool.hosts.power == _ON
        used = self._risk[self._count > 0]
        ahead, note = self._ahead, self._how
        found = [
            *self._money(),
            Measure("hosts_on", "Hosts on", float(on.sum()), "hosts", Better.DOWN),
            Measure("hosts_could_sleep", "Hosts that could sleep", ahead.sleep, "hosts", note=note),
            Measure("hosts_to_wake", "Hosts to be woken", ahead.wake, "hosts", note=note),
            Measure("moves", "Moves that it takes", ahead.moves, "moves", note=note),
            Measure(
                "overload_share",
                "Risk of overload, mean of hosts in use",
                float(np.minimum(used, 1.0).mean()) if len(used) else 0.0,
                "share",
                Better.DOWN,
                note=f"allowed: {self._policy.overload_share:.3%}",
            ),
        ]
        return tuple(found)

    def _money(self) -> list[Measure]:
        now, after, down = self._now, self._after, Better.DOWN
        note = f"the best is {self._how}" if self._ahead.about else ""
        found = [
            Measure("energy_kwh", "Energy a day", now.kwh, "kwh", down, after.kwh, note),
            Measure("money_euro", "Money a day", now.euro, "euro", down, after.euro, note),
        ]
        if now.co2_kg is not None:
            carbon = Measure("co2_kg", "CO2 a day", now.co2_kg, "kg", down, after.co2_kg, note)
            found.append(carbon)
        return found

    @property
    def _how(self) -> str:
        """How it is known what could be; nothing to say of a plan of the whole pool."""
        if not self._ahead.about:
            return ""
        planned = f"{self._ahead.planned:,} of {len(self._pool.hosts):,} hosts"
        return f"about: scaled from a plan tried on {planned}"

    def _hosts(self) -> Grid:
        """List hosts: those that could sleep first, then by what they draw."""
        last = np.ones(len(self._pool.hosts), dtype=np.bool_)
        last[list(self._ahead.asleep | self._ahead.woken)] = False
        order = np.lexsort((-self._watts, last))
        shown = tuple(self._row(row) for row in order[:MOST_ROWS].tolist())
        left = max(len(order) - MOST_ROWS, 0)
        note = "Loads and risks are forecasts."
        if self._ahead.about:
            note += f" What hosts could do is {self._how}; others may do the same."
        return Grid("hosts", "Hosts", _COLUMNS, shown, left, note)

    def _row(self, row: int) -> tuple[Cell, ...]:
        hosts = self._pool.hosts
        power = {_ON: "on", _OFF: "off"}.get(int(hosts.power[row]), "unknown")
        return (
            hosts.id[row],
            hosts.zone[row],
            power,
            int(self._count[row]),
            float(self._load[row]),
            float(min(self._risk[row], 1.0)),
            float(self._watts[row]),
            self._could(row),
        )

    def _could(self, row: int) -> str:
        if row in self._ahead.asleep:
            return "sleep"
        if row in self._ahead.woken:
            return "be woken"
        return "be woken when needed" if self._scene.asleep[row] else ""

    def _pictures(self) -> tuple[Picture, ...]:
        order = np.argsort(-self._watts, kind="stable")[:MOST_ROWS]
        names = tuple(self._pool.hosts.id[row] for row in order.tolist())
        drawn = Series("draws", tuple(self._watts[order].tolist()))
        bars = Picture("watts", "What each host draws", Form.BARS, names, (drawn,), "watts")
        past = self._past()
        return (bars,) if past is None else (past, bars)

    def _past(self) -> Picture | None:
        """Draw what was used beside what the hosts that were on could give."""
        history = self._pool.history
        if history is None or history.cpu.shape[1] < 2:
            return None
        used = np.nan_to_num(history.cpu).sum(axis=0, dtype=np.float64) / 1000
        count = len(used)
        at = history.until - history.step_s * np.arange(count - 1, -1, -1)
        every = slice((count - 1) % (step := -(-count // MOST_POINTS)), None, step)
        lines = [Series("CPUs used", tuple(used[every].tolist()))]
        levels = history.levels
        if levels is not None and len(levels.at):
            on = np.interp(at, levels.at, levels.sellable[:, CPU] / 1000)
            lines.append(Series("CPUs of hosts that are on", tuple(on[every].tolist())))
        labels = tuple(at[every].tolist())
        return Picture(
            "past", "Load and hosts on", Form.LINES, labels, tuple(lines), "cpus", "time"
        )

    def _findings(self) -> tuple[Finding, ...]:
        worst = np.flatnonzero((self._risk > 10 * self._policy.overload_share) & (self._count > 0))
        order = worst[np.argsort(-self._risk[worst], kind="stable")][:10]
        return tuple(
            Finding(
                f"host/{self._pool.hosts.id[row]}",
                Severity.WARNING,
                f"may be asked for more CPU than its ceiling in {min(self._risk[row], 1.0):.1%} "
                "of the time",
            )
            for row in order.tolist()
        )
