# SPDX-License-Identifier: Apache-2.0
"""A capability whose report holds all that a report can hold, and a program that has it."""

import sys

from pydantic import Field

import billow.catalog
from billow.cli.main import main
from billow.model.plan import Finding, Proposal, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import (
    Better,
    Column,
    Form,
    Grid,
    Measure,
    Picture,
    Report,
    Series,
)

PROGRAM = (sys.executable, __file__)
"""The command line with the sample among its capabilities."""


class SamplePolicy(Policy):
    """What the sample can be asked."""

    full_share: float = Field(0.5, ge=0, le=1, description="From when on a host counts as full.")
    rows: int = Field(3, ge=1, le=50, description="Hosts that are listed.")
    loud: bool = Field(False, description="Whether every full host is a finding.")


class Sample:
    """The capability: says how full hosts are."""

    name = "sample"
    policy = SamplePolicy

    def propose(self, pool: Pool, policy: SamplePolicy, /) -> Proposal:
        """Propose nothing."""
        return Proposal(self.name)

    def report(self, pool: Pool, policy: SamplePolicy, /) -> Report:
        """Return how full hosts are, by reserved CPU."""
        sellable = pool.hosts.sellable.sum(axis=1)[:, 0]
        shares = (pool.reserved[:, 0] / sellable).tolist()
        order = sorted(range(len(shares)), key=lambda row: (-shares[row], pool.hosts.id[row]))
        shown = order[: policy.rows]
        names = tuple(str(pool.hosts.id[row]) for row in shown)
        full = [row for row in order if shares[row] >= policy.full_share]
        mean = sum(shares) / len(shares)
        return Report(
            self.name,
            "How full hosts are",
            f"{len(full)} of {len(shares)} hosts are full",
            (
                Measure("full_hosts", "Full hosts", float(len(full)), "hosts", Better.DOWN, 0.0),
                Measure("mean_share", "Mean", mean, "share", note="of CPU"),
                Measure("unseen_kwh", "Energy", float("nan"), "kwh"),
            ),
            (self._grid(pool, shown, shares, len(order)),),
            self._pictures(names, [shares[row] for row in shown]),
            tuple(Finding(f"host/{pool.hosts.id[row]}", Severity.WARNING, "it is full")
                  for row in full if policy.loud),
        )  # fmt: skip

    def _grid(self, pool: Pool, shown: list[int], shares: list[float], total: int) -> Grid:
        columns = (
            Column("host", "Host", link="host"),
            Column("reserved_share", "Reserved", "share"),
            Column("free_mib", "Free memory", "mib"),
        )
        rows = tuple(
            (str(pool.hosts.id[row]), shares[row], int(pool.free[row, 1])) for row in shown
        )
        return Grid("fullest", "The fullest hosts", columns, rows, total - len(rows))

    def _pictures(self, names: tuple[str, ...], shares: list[float]) -> tuple[Picture, ...]:
        used, free = tuple(shares), tuple(1 - share for share in shares)
        return (
            Picture("bars", "Reserved", Form.BARS, names, (Series("reserved", used),), "share"),
            Picture("stripes", "What hosts are filled with", Form.STRIPES, names,
                    (Series("reserved", used), Series("free", free)), "share"),
            Picture("lines", "Over time", Form.LINES, (1e9, 1e9 + 3600, 1e9 + 7200),
                    (Series("reserved", (0.2, 0.5, 0.4)),), "share", "time"),
        )  # fmt: skip


if __name__ == "__main__":
    billow.catalog.CAPABILITIES = (*billow.catalog.CAPABILITIES, Sample())
    main()
