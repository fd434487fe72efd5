# SPDX-License-Identifier: Apache-2.0
"""From Masakari: segments, hosts and settings become Billow's, or a remark why they do not.

The rows are those of the `instance-ha` API (1.0 to 1.3) and of its client. Pure.
"""

import shlex
from collections.abc import Iterator, Sequence

from billow.errors import Invalid
from billow.model.pool import Pool
from billow.openstack.exported import Conf, Row, flag
from billow.openstack.imported import Errand, Imported, Remark, Setting, merged
from billow.openstack.masakari_conf import remarks_of, settings_of

METHODS = {
    "auto": "the target is chosen by Billow's placement among all hosts with room",
    "reserved_host": "no host stands by: room is kept on all, and `failures` says how much",
    "auto_priority": "as auto; there is no second try on a reserved host",
    "rh_priority": "no host stands by: room is kept on all, and `failures` says how much",
}
MAINTENANCE = "24h"


def from_masakari(rows: Sequence[Row], conf: Conf, pool: Pool | None = None) -> Imported:
    """Return what Masakari's segments, hosts and settings come to.

    With a pool, hosts are looked for in it and segments are compared with its zones.

    Raises:
        Invalid: a row that is neither a segment nor a host, or one that cannot be.
    """
    segments = [each for each in rows if "recovery_method" in each]
    hosts = [each for each in rows if "control_attributes" in each]
    for row in rows:
        if row not in segments and row not in hosts:
            raise _unknown(row)
    otherwise, nothing = remarks_of(conf)
    counts = {"segments": len(segments), "hosts": len(hosts), "options": len(conf)}
    return Imported(
        "Masakari",
        tuple(f"{noun} {count}" for noun, count in counts.items() if count),
        merged([*settings_of(conf), *_spares(segments, hosts)]),
        tuple(_errands(segments, hosts)),
        (*_methods(segments), *_bounds(segments, hosts, pool), *otherwise),
        (*_attributes(hosts), *_types(segments), *nothing),
    )


def _name(row: Row) -> str:
    return str(row.get("name") or row.get("uuid") or "")


def _of(segment: Row, hosts: Sequence[Row]) -> list[Row]:
    key = segment.get("uuid")
    return [each for each in hosts if each.get("failover_segment_id") == key]


def _spares(segments: Sequence[Row], hosts: Sequence[Row]) -> Iterator[Setting]:
    """Yield how many hosts may die at once, where hosts are kept in reserve."""
    counts = {_name(each): sum(flag(host.get("reserved")) for host in _of(each, hosts))
              for each in segments}  # fmt: skip
    counts[""] = sum(flag(host.get("reserved")) for host in hosts) if not segments else 0
    most = max(counts.values(), default=0)
    if most:
        names = ", ".join(f"{name or 'all'} {count}" for name, count in counts.items() if count)
        why = f"reserved hosts by segment: {names}"
        yield Setting(("policy", "capacity", "failures"), min(most, 16), why)
        yield Setting(("policy", "power", "spare_hosts"), min(most, 100), why)


def _errands(segments: Sequence[Row], hosts: Sequence[Row]) -> Iterator[Errand]:
    for host in hosts:
        if flag(host.get("reserved")):
            why = "it was kept in reserve: it may carry instances now, and room is kept everywhere"
            yield Errand(f"billow host uncordon {shlex.quote(_name(host))}", why)
        if flag(host.get("on_maintenance")):
            yield _maintenance(host, "on maintenance in Masakari")
    for segment in segments:
        if not flag(segment.get("enabled", segment.get("is_enabled", True))):
            why = f"segment {_name(segment)} is disabled in Masakari"
            yield from (_maintenance(each, why) for each in _of(segment, hosts))


def _maintenance(host: Row, why: str) -> Errand:
    name = shlex.quote(_name(host))
    line = f"billow host maintenance {name} --for {MAINTENANCE} --why {shlex.quote(why)}"
    return Errand(line, "failures are noted, and nothing is done; it ends by itself")


def _methods(segments: Sequence[Row]) -> Iterator[Remark]:
    for segment in segments:
        method = str(segment["recovery_method"])
        if method not in METHODS:
            raise Invalid(
                f"segment {_name(segment)!a} has the recovery method {method!a}",
                fix=f"Masakari knows {', '.join(METHODS)}",
            )
        yield Remark(f"segment {_name(segment)}, {method}", METHODS[method])


def _bounds(segments: Sequence[Row], hosts: Sequence[Row], pool: Pool | None) -> Iterator[Remark]:
    """Yield what becomes of segments as bounds of evacuation."""
    for segment in segments:
        yield Remark(f"segment {_name(segment)} as a bound", _bound(_of(segment, hosts), pool))
    if pool is not None:
        known = {_name(each) for each in hosts}
        strange = sorted(known - set(pool.hosts.id))
        if strange:
            yield Remark("hosts that the cloud does not show", ", ".join(strange))
        new = sorted(set(pool.hosts.id) - known)
        if new:
            text = f"{', '.join(new[:20])}{' ...' if len(new) > 20 else ''}: recovered from now on"
            yield Remark(f"{len(new)} hosts in no segment", text)


def _bound(hosts: Sequence[Row], pool: Pool | None) -> str:
    text = "Billow keeps Nova's own bounds: zone pins, aggregates, traits, server groups"
    if pool is None:
        return text
    rows = [pool.hosts.row[_name(each)] for each in hosts if _name(each) in pool.hosts.row]
    zones = sorted({pool.hosts.zone[row] for row in rows})
    whole = sum(pool.hosts.zone[row] in zones for row in range(len(pool.hosts)))
    if len(zones) == 1 and whole == len(rows):
        return f"it is the zone {zones[0] or '(none)'}, and a zone pin keeps servers there"
    return f"{text}; its {len(rows)} hosts lie in {', '.join(each or '(none)' for each in zones)}"


def _attributes(hosts: Sequence[Row]) -> Iterator[Remark]:
    used = sorted({str(each["control_attributes"]) for each in hosts} - {"", "None"})
    if used:
        text = "Masakari keeps it and does not use it; management controllers stand in bmc.toml"
        yield Remark(f"control_attributes ({', '.join(used)[:60]})", text)


def _types(segments: Sequence[Row]) -> Iterator[Remark]:
    kinds = sorted(
        {str(each.get("service_type") or "").lower() for each in segments} - {"", "compute"}
    )
    if kinds:
        yield Remark(f"service_type {', '.join(kinds)}", "a label; Billow recovers compute hosts")


def _unknown(row: Row) -> Invalid:
    return Invalid(
        "this is neither a segment nor a host of Masakari",
        (f"it has {', '.join(sorted(row)[:12]) or 'nothing'}",),
        fix="export with `openstack segment list -f json`, `openstack segment host list -f json`",
    )
