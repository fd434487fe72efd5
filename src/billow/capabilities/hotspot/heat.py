# SPDX-License-Identifier: Apache-2.0
"""Which hosts are hot, by what sign, and for which of them something must be done.

A host that is hot at this moment is always named. It is acted on when its forecast is hot too, or
when signs of waiting (load, pressure, swapping, ballooning) stand beside a use over its target.
What is likely in the long run only is waited for until the forecast shows it, if it can wait.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.hotspot.demand import Demand
from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.kinds import Health, Power, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, BoolArray, FloatArray
from billow.plan.forecast import depth, tail


@dataclass(frozen=True, eq=False)
class Signs:
    """Whether something else than use tells of waiting, `(hosts,) bool`."""

    cpu: BoolArray
    memory: BoolArray


@dataclass(frozen=True, eq=False)
class Heat:
    """What was seen of hosts, by row.

    Attributes:
        cpu_share, memory_share: Use now of what is there, `(hosts,)`; NaN when not seen.
        cpu_ahead, memory_ahead: The same by forecast.
        risk: Chance that a sample to come wants more CPU than there is.
        memory_hot: Whether memory is over its threshold, now or by forecast.
        now: Whether a host is over a threshold at this moment.
        acting: Whether it must be cooled.
    """

    cpu_share: FloatArray
    memory_share: FloatArray
    cpu_ahead: FloatArray
    memory_ahead: FloatArray
    risk: FloatArray
    memory_hot: BoolArray
    signs: Signs
    now: BoolArray
    acting: BoolArray


def heat_of(pool: Pool, policy: HotspotPolicy, cpu: Demand, memory: Demand) -> Heat:
    """Judge every host that is on. Linear in hosts and instances."""
    hosts = pool.hosts
    cpu_share = _now(hosts.cpu_used, cpu, pool, CPU)
    memory_share = _now(hosts.memory_used, memory, pool, MEMORY)
    risk = tail(cpu.depth)
    cpu_ahead, memory_ahead = (
        _part(cpu.forecast, cpu.capacity),
        _part(memory.forecast, memory.capacity),
    )
    now = (cpu_share > policy.cpu_hot_share) | (memory_share > policy.memory_hot_share)
    memory_hot = memory_ahead > policy.memory_hot_share
    signs = Signs(_cpu_sign(pool, policy), _memory_sign(pool, policy))
    return Heat(
        cpu_share,
        memory_share,
        cpu_ahead,
        memory_ahead,
        risk,
        memory_hot | (memory_share > policy.memory_hot_share),
        signs,
        _here(pool) & (now | signs.cpu | signs.memory),
        acting(pool, policy, cpu, memory, signs),
    )


def acting(
    pool: Pool, policy: HotspotPolicy, cpu: Demand, memory: Demand, signs: Signs
) -> BoolArray:
    """Return which hosts must be cooled as things stand, `(hosts,) bool`."""
    cpu_ahead = _part(cpu.forecast, cpu.capacity)
    acts = cpu_ahead > policy.cpu_hot_share
    soon, usually = cpu.depths_of(np.arange(len(cpu_ahead)))
    acts |= (soon < depth(policy.risk_act)) | (usually < depth(policy.risk_hot))
    acts |= signs.cpu & (cpu_ahead > policy.cpu_target_share)
    memory_ahead = _part(memory.forecast, memory.capacity)
    full = memory_ahead > policy.memory_hot_share
    full |= signs.memory & (memory_ahead > policy.memory_target_share)
    if not _sighted(pool, cpu, CPU):
        acts[:] = False
    if _sighted(pool, memory, MEMORY):
        acts |= full
    acts &= _here(pool)
    return acts


def _here(pool: Pool) -> BoolArray:
    hosts = pool.hosts
    here: BoolArray = (hosts.power == code_of(Power.ON)) & (hosts.health != code_of(Health.FAILED))
    return here


def _now(measured: FloatArray, demand: Demand, pool: Pool, resource: int) -> FloatArray:
    """Return the measured share, else what the instances sum to where that was seen."""
    there = pool.hosts.capacity[:, :, resource].sum(axis=1)
    summed = demand.now if _sighted(pool, demand, resource) else np.full(len(there), np.nan)
    return _part(np.where(np.isnan(measured), summed, measured), there)


def _sighted(pool: Pool, demand: Demand, resource: int) -> bool:
    """Return whether the use of at least half of what the pool sold was ever seen."""
    placed = pool.instances.host >= 0
    size = pool.demand[pool.instances.shape[placed], resource].astype(np.float64)
    return bool(size.sum() > 0 and size[demand.seen[placed]].sum() >= 0.5 * size.sum())


def _cpu_sign(pool: Pool, policy: HotspotPolicy) -> BoolArray:
    hosts = pool.hosts
    cpus = np.maximum(hosts.capacity[:, :, CPU].sum(axis=1) / 1000, 1e-9)
    sign: BoolArray = hosts.load / cpus > policy.load_hot
    return sign | (hosts.cpu_pressure > policy.pressure_hot_share)


def _memory_sign(pool: Pool, policy: HotspotPolicy) -> BoolArray:
    hosts, ours = pool.hosts, pool.instances
    placed = ours.host >= 0
    taken = np.nan_to_num(ours.ballooned[placed]).astype(np.float64)
    ballooned = np.bincount(ours.host[placed], weights=taken, minlength=len(hosts))
    sign: BoolArray = hosts.memory_pressure > policy.pressure_hot_share
    sign |= hosts.swap > policy.swap_hot_mib_s
    there = hosts.capacity[:, :, MEMORY].sum(axis=1)
    sign |= ballooned > policy.balloon_hot_share * np.maximum(there, 1)
    return sign


def _part(used: FloatArray, there: FloatArray) -> FloatArray:
    share: FloatArray = used / np.maximum(there, 1e-9)
    return share
