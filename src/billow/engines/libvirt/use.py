# SPDX-License-Identifier: Apache-2.0
"""What hosts and machines use, told from what they had used by two looks. No I/O."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from billow.engines.libvirt.words import Domain
from billow.engines.libvirt.xdr import Value

_LEAST_S: Final = 0.2
"""Two looks closer than this say little: the older one is kept."""


@dataclass(frozen=True, slots=True)
class Use:
    """Real use; NaN where it is not known."""

    cpu_milli: float = math.nan
    memory_mib: float = math.nan
    cpu_wait: float = math.nan


UNSEEN: Final = Use()


@dataclass(frozen=True, slots=True)
class _Count:
    """What something had used at a moment, seconds."""

    at: float
    ran: float
    waited: float


class Uses:
    """The last look at everything, and what it came to."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._rates: dict[str, tuple[float, float]] = {}

    def host(self, name: str, cpu: Mapping[str, int], memory: Mapping[str, int], at: float) -> Use:
        """Return a host's use."""
        ran = (cpu.get("user", 0) + cpu.get("kernel", 0)) / 1e9
        rate, _ = self._rate(f"host/{name}", _Count(at, ran, 0.0))
        spare = memory.get("free", 0) + memory.get("cached", 0) + memory.get("buffers", 0)
        used = (memory["total"] - spare) / 1024 if "total" in memory else math.nan
        return Use(1000 * rate, used)

    def machine(self, domain: Domain, stats: Mapping[str, Value], at: float) -> Use:
        """Return a machine's use; one that does not run has none."""
        if domain.number < 0:
            self._counts.pop(domain.uuid.hex(), None)
            return UNSEEN
        ran = sum(_figures(stats, "time")) / 1e9 or _number(stats, "cpu.time") / 1e9
        count = _Count(at, ran, sum(_figures(stats, "delay")) / 1e9)
        rate, waits = self._rate(domain.uuid.hex(), count)
        wait = waits / (rate + waits) if rate + waits > 0 else 0.0 if rate == 0 else math.nan
        return Use(1000 * rate, _number(stats, "balloon.rss") / 1024, wait)

    def forget_others(self, known: Iterable[str]) -> None:
        """Forget machines that are gone, by the UUIDs of those that are not."""
        kept = set(known)
        for key in [each for each in self._counts if not each.startswith("host/")]:
            if key not in kept:
                self._counts.pop(key)
                self._rates.pop(key, None)

    def _rate(self, key: str, now: _Count) -> tuple[float, float]:
        """Return what was used and waited for per second since the look before."""
        before = self._counts.get(key)
        if before is not None and now.at - before.at < _LEAST_S:
            return self._rates.get(key, (math.nan, math.nan))
        self._counts[key] = now
        if before is None or now.ran < before.ran:
            self._rates[key] = (math.nan, math.nan)
        else:
            passed = now.at - before.at
            waited = max(0.0, now.waited - before.waited)
            self._rates[key] = ((now.ran - before.ran) / passed, waited / passed)
        return self._rates[key]


def _figures(stats: Mapping[str, Value], what: str) -> list[float]:
    """Return one figure of every vCPU."""
    return [
        float(value)
        for name, value in stats.items()
        if name.startswith("vcpu.") and name.endswith("." + what)
    ]


def _number(stats: Mapping[str, Value], name: str) -> float:
    value = stats.get(name)
    return float(value) if isinstance(value, int | float) else math.nan
