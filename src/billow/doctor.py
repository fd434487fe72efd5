# SPDX-License-Identifier: Apache-2.0
"""What `billow doctor` looks at, one thing at a time. Pure: it judges, and looks at nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from billow.model.counting import counted
from billow.model.ha.status import Status


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `billow doctor` looked at."""

    name: str
    ok: bool
    text: str
    fix: str = ""


def of_hosts(status: Status) -> Iterator[Check]:
    """Yield how high availability is, where anybody watches hosts or an incident is open."""
    if not (status.watching or status.incidents):
        return
    ready = sum(each.ready for each in status.hosts)
    text = f"{counted(len(status.hosts), 'host')} watched, {ready} whose death two ways could prove"
    text += f"; {counted(status.incidents, 'incident')} open, {status.held} of them held"
    wrong = ""
    if not status.watching:
        wrong, fix = "nobody watches", "see that `billow serve` runs where agents reach it"
    elif not status.armed:
        wrong, fix = "disarmed", "billow ha arm"
    elif status.failing:
        wrong, fix = f"deciding fails: {status.failing}", "see this controller's log; report it"
    elif status.silent > status.incidents:
        wrong = f"{status.silent} of {len(status.hosts)} hosts are heard nowhere"
        fix = "billow ha status; see their power and their networks, and the controllers'"
    elif status.held:
        wrong, fix = "incidents wait", "billow incident list --open"
    elif ready < len(status.hosts):
        wrong, fix = "not every death could be proved twice", "billow ha readiness"
    else:
        fix = ""
    ok = wrong in {"", "not every death could be proved twice"}
    yield Check("high availability", ok, f"{wrong}: {text}" if wrong else text, fix)
