# SPDX-License-Identifier: Apache-2.0
"""How full a cloud's storage is, by the facts that its pool holds of Cinder; pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from billow.engines.openstack.volumes import STORAGE
from billow.model.pool import Pool
from billow.model.report import Better, Cell, Column, Grid, Measure, Report
from billow.plan.amounts import amount

TITLE: Final = "How full is its storage?"
_MIB: Final = 1024.0
_COLUMNS: Final = (
    Column("pool", "pool"),
    Column("used_share", "used", "share"),
    Column("total_mib", "total", "mib"),
    Column("free_mib", "free", "mib"),
    Column("provisioned_mib", "provisioned", "mib"),
)

Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fill:
    """A storage pool, MiB; NaN for what Cinder does not know, infinite for what has no end."""

    name: str
    total_mib: float
    free_mib: float
    provisioned_mib: float

    @property
    def share(self) -> float:
        """How much of it is used, from 0 to 1; NaN where it has no end, or is not known."""
        if not math.isfinite(self.total_mib) or self.total_mib <= 0:
            return math.nan
        return 1 - self.free_mib / self.total_mib

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return it as a row of the table."""
        numbers = (self.share, self.total_mib, self.free_mib, self.provisioned_mib)
        return self.name, *(None if math.isnan(each) else each for each in numbers)


def storage_report(pool: Pool) -> Report | None:
    """Return the report of a pool's storage, fullest pools first; None where it tells of none."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for fact in pool.facts:
        kind, _, name = fact.subject.partition("/")
        if kind == STORAGE:
            found[name][fact.key] = fact.value
    if not found:
        return None
    whole = found.pop("", {})
    fills = sorted(_fills(found), key=lambda each: (-_known(each.share), each.name))
    down = [f"{each} on {name}" for name, said in found.items() for each in _down(said)]
    rows = tuple(each.cells for each in fills)
    return Report(
        STORAGE,
        TITLE,
        _summary(fills, whole, down),
        tuple(_measures(fills, whole, down)),
        (Grid("pools", "Storage pools by what is used", _COLUMNS, rows),) if rows else (),
    )


def _fills(found: Mapping[str, Facts]) -> Iterator[Fill]:
    for name, said in found.items():
        if not said.keys().isdisjoint({"total_gib", "free_gib", "provisioned_gib"}):
            yield Fill(
                name,
                _mib(said, "total_gib"),
                _mib(said, "free_gib"),
                _mib(said, "provisioned_gib"),
            )


def _down(said: Facts) -> Iterator[str]:
    """Yield the processes of a host that are down."""
    return (key for key, value in said.items() if value == "down")


def _summary(fills: list[Fill], whole: Facts, down: list[str]) -> str:
    volumes = amount(_number(whole, "volumes"), "volumes")
    text = f"{volumes} of {amount(_mib(whole, 'volumes_gib'), 'mib')}"
    text += f", {amount(_number(whole, 'attached'), bare=True)} attached"
    if fills and not math.isnan(fills[0].share):
        text = f"{fills[0].name} is fullest ({amount(fills[0].share, 'share')} used); {text}"
    return f"{text}; down: {', '.join(down)}." if down else f"{text}; every service is up."


def _measures(fills: Iterable[Fill], whole: Facts, down: list[str]) -> Iterator[Measure]:
    yield Measure("volumes", "volumes", _number(whole, "volumes"), "volumes")
    yield Measure("attached", "volumes attached", _number(whole, "attached"), "volumes")
    yield Measure("volumes_mib", "size of all volumes", _mib(whole, "volumes_gib"), "mib")
    shares = [each.share for each in fills if not math.isnan(each.share)]
    if shares:
        fullest = max(shares)
        yield Measure("fullest_share", "fullest pool", fullest, "share", Better.DOWN)
    count = float(len(down))
    yield Measure("down", "services down", count, "services", Better.DOWN, 0.0)


def _number(said: Facts, key: str) -> float:
    try:
        return float(said.get(key, "nan"))
    except ValueError:
        return math.nan


def _mib(said: Facts, key: str) -> float:
    return _number(said, key) * _MIB


def _known(share: float) -> float:
    """Return a share for sorting: what is not known comes last."""
    return -math.inf if math.isnan(share) else share
