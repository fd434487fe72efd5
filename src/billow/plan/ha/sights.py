# SPDX-License-Identifier: Apache-2.0
"""Put together what all controllers know of the hosts that somebody doubts.

Pure: no I/O, no clock, no dice. Linear in the doubted hosts, not in the fleet.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from billow.model.ha.evidence import AgentReport, Hardware, Network, Sight, Symptom
from billow.model.ha.view import VIEW_S, View
from billow.model.kinds import Power

Reading = Callable[[str, float], tuple[Power, float]]
"""What a host's management controller said after an instant, and since when it says so (both in
seconds since the epoch)."""


def sight_of(
    host: str,
    lost: Mapping[Network, float],
    views: Sequence[View],
    power: Reading,
    now: float,
) -> Sight:
    """Return what is known of one host.

    Args:
        host: Which.
        lost: Networks on which it is agreed to be down, and since when.
        views: What every controller published, this one's own of right now among them.
        power: What its management controller says.
        now: Seconds since the epoch, taken before the views were read.
    """
    report = _newest(host, views)
    symptoms = report.symptoms if report is not None else ()
    reads, since = power(host, max(lost.values(), default=0.0))
    if not lost and not since:
        reads = Power.ON  # it is heard, and nobody has asked
    return Sight(
        host=host,
        lost=lost,
        heard_at=heard_at(host, views, now),
        power=reads,
        power_since=since,
        hardware=worst(symptoms),
        lease_s=report.lease_s if report is not None else 0.0,
        lease_excused=_excused(host, views),
        gasped=report is not None and report.gasped,
        answers=_answers(host, views),
        clean_beats=report.clean_beats if report is not None and not lost else 0,
        boot=report.boot if report is not None else "",
        guests=report.guests if report is not None else (),
        quarantined=report is not None and report.quarantined,
        symptoms=symptoms,
    )


def _excused(host: str, views: Sequence[View]) -> bool:
    """Return whether its peers may let it live on; not when one controller had them refuse."""
    known = [view.reports.get(host) for view in views if view.age_s <= VIEW_S]
    armed = [report for report in known if report is not None and report.lease_s]
    return bool(armed) and all(report.lease_excused for report in armed)


def _answers(host: str, views: Sequence[View]) -> bool:
    """Return whether its kernel answers anybody whose view is not too old to count."""
    fresh = (view.reports.get(host) for view in views if view.age_s <= VIEW_S)
    return any(report is not None and report.answers for report in fresh)


def heard_at(host: str, views: Sequence[View], now: float) -> float:
    """Return when any controller may have heard a host last, at the latest.

    A controller whose view is old may have heard it until its right to acknowledge ended. Ages are
    counted, so that clocks which differ do no harm. 0 when nobody ever watched it.
    """
    ages = [
        _age_s(view, row) for view in views if (row := rows_of(view.hosts).get(host)) is not None
    ]
    return now - min(ages) if ages else 0.0


def _age_s(view: View, row: int) -> float:
    """Return how long ago at least a controller acknowledged a host last.

    Whom its view misses everywhere it does not acknowledge before another view says otherwise;
    anybody else it may have acknowledged as long as the view gave it the right to.
    """
    silent_s = view.at - view.heard_at[row]
    if (silent_s > view.limit_s).all():
        return max(0.0, float(silent_s.min())) + view.age_s
    return max(0.0, view.age_s - VIEW_S)


def worst(symptoms: Sequence[Symptom]) -> Hardware:
    """Return how ill a host is; what concerns one path or one instance does not make it so."""
    own = (each.grade for each in symptoms if each.network is None and not each.instance)
    return max(own, default=Hardware.SOUND)


def _newest(host: str, views: Sequence[View]) -> AgentReport | None:
    """Return what its agent said last to anybody."""
    found = ((view.reports[host], view) for view in views if host in view.reports)
    said = [(report.at - view.at - view.age_s, report) for report, view in found]
    return max(said, key=lambda each: each[0])[1] if said else None


@lru_cache(maxsize=32)
def rows_of(hosts: tuple[str, ...]) -> Mapping[str, int]:
    """Return the row of each host of a view."""
    return {host: row for row, host in enumerate(hosts)}
