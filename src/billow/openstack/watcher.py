# SPDX-License-Identifier: Apache-2.0
"""From Watcher: audits and their templates become policies, or a remark why they do not.

The rows are those of the `infra-optim` API and of its client. Pure.
"""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from billow.errors import Invalid
from billow.openstack.exported import Row, flag
from billow.openstack.imported import Errand, Imported, Remark, Setting, merged
from billow.openstack.watcher_strategies import GOALS, STRATEGIES, Match, thresholds

_ALIAS: Final = {
    "goal": "goal_name",
    "strategy": "strategy_name",
    "audit_scope": "scope",
    "default_parameters": "parameters",
}
_LIVE: Final = frozenset({"PENDING", "ONGOING", "SUSPENDED"})
_TEMPLATE: Final = "TEMPLATE"


def from_watcher(rows: Sequence[Row]) -> Imported:
    """Return what Watcher's audits and audit templates come to.

    Raises:
        Invalid: a row that is neither, or a goal or strategy that Watcher does not have.
    """
    known = [_renamed(each) for each in rows if "display_name" not in _renamed(each)]
    for row in known:
        if not row.get("goal_name"):
            raise _unknown(row)
    live = [each for each in known if _state(each) in _LIVE]
    templates = [each for each in known if _state(each) == _TEMPLATE]
    settings: list[Setting] = []
    errands: list[Errand] = []
    differs: list[Remark] = []
    nothing: list[Remark] = []
    for row in [*templates, *live]:
        match, subject = _match(row), _subject(row)
        settings += _settings(row, match)
        errands += _errands(row, match)
        (differs if match.capability or match.errands else nothing).append(
            Remark(subject, match.otherwise)
        )
        nothing += _lost(row, match)
    counts = {"templates": len(templates), "audits": len(live)}
    counts["audits that are over"] = len(known) - len(live) - len(templates)
    return Imported(
        "Watcher",
        tuple(f"{noun} {count}" for noun, count in counts.items() if count),
        merged(settings),
        tuple(dict.fromkeys(errands)),
        tuple(dict.fromkeys(differs)),
        tuple(dict.fromkeys(nothing)),
    )


def _renamed(row: Row) -> dict[str, Any]:
    return {_ALIAS.get(key, key): value for key, value in row.items()}


def _state(row: Row) -> str:
    return str(row.get("state") or "PENDING").upper() if "audit_type" in row else _TEMPLATE


def _subject(row: Row) -> str:
    noun = "template" if _state(row) == _TEMPLATE else "audit"
    how = row.get("strategy_name") or f"goal {row['goal_name']}"
    return f"{noun} {row.get('name') or row.get('uuid')}, {how}"


def _match(row: Row) -> Match:
    strategy, goal = row.get("strategy_name"), str(row["goal_name"])
    if not strategy or str(strategy) == "None":
        strategy = GOALS.get(_key(goal), "")
    name = _key(str(strategy))
    if name not in STRATEGIES:
        wrong = f"strategy {row.get('strategy_name')!a}" if row.get("strategy_name") else ""
        raise Invalid(
            f"Watcher 17 has no {wrong or f'goal {goal!a}'}",
            (f"it is asked for by {row.get('name') or row.get('uuid')!a}",),
            fix="a strategy of your own has no equivalent: leave its audits out of the files",
        )
    return STRATEGIES[name]


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _parameters(row: Row) -> Mapping[str, Any]:
    """Return the parameters, which some clients print as JSON in a text."""
    given = row.get("parameters") or {}
    if isinstance(given, str):
        try:
            given = json.loads(given.replace("'", '"'))
        except json.JSONDecodeError:
            raise Invalid(
                f"the parameters of {_subject(row)} cannot be read: {given[:80]!a}",
                fix="export the API's answer, or with `-f json`",
            ) from None
    return given if isinstance(given, dict) else {}


def _settings(row: Row, match: Match) -> Iterator[Setting]:
    parameters, subject = _parameters(row), _subject(row)
    name = _key(str(row.get("strategy_name") or ""))
    for path, value in thresholds(name, parameters):
        yield Setting(path, value, f"{subject}: threshold {parameters['threshold']}")
    for parameter, knobs in match.knobs.items():
        if parameters.get(parameter) is not None:
            for path, value in knobs(parameters[parameter]):
                yield Setting(path, value, f"{subject}: {parameter} {parameters[parameter]}")
    excluded = sorted(_excluded(row.get("scope")))
    if excluded and match.capability:
        why = f"{subject}: excluded from its scope; here for all plans"
        yield Setting(("protected",), excluded, why)
    yield from _rhythm(row, match)


def _rhythm(row: Row, match: Match) -> Iterator[Setting]:
    """Yield how often a capability looks at the pool by itself, and whether it may act."""
    if not match.capability or _state(row) not in _LIVE:
        return
    kind, interval = str(row["audit_type"]).upper(), str(row.get("interval") or "")
    seconds = float(interval) if interval.replace(".", "", 1).isdigit() else 0.0
    if kind in {"CONTINUOUS", "EVENT"}:
        why = f"{_subject(row)}: {kind.lower()}{f', every {interval}' if interval else ''}"
        if interval and not seconds:
            why += "; there is no cron here: it looks whenever the pool has changed"
        yield Setting(("standing", match.capability), seconds, why)
    if flag(row.get("auto_trigger")):
        why = f"{_subject(row)}: auto_trigger; take it out to read each plan first"
        yield Setting(("approved",), [match.capability], why)


def _errands(row: Row, match: Match) -> Iterator[Errand]:
    parameters = _parameters(row)
    for parameter, hosts in match.errands.items():
        for host in hosts(parameters.get(parameter)):
            yield Errand(f"billow host drain {shlex.quote(host)}", _subject(row))
    if match.capability and _state(row) in {"TEMPLATE", "PENDING"}:
        yield Errand(f"billow plan {match.capability}", f"{_subject(row)}: a plan to read")


def _lost(row: Row, match: Match) -> Iterator[Remark]:
    """Yield which parameters and scopes have no equivalent."""
    subject = _subject(row)
    for parameter, value in _parameters(row).items():
        if parameter in match.lost:
            yield Remark(f"{subject}: {parameter} = {value}", match.lost[parameter])
    places = sorted(_included(row.get("scope")))
    if places:
        text = "a capability looks at the whole pool; `protected` leaves hosts and instances out"
        yield Remark(f"{subject}: scope {', '.join(places)}", text)


def _compute(scope: object) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a scope that are about compute: of one part, a kind with its list."""
    for each in scope if isinstance(scope, list) else ():
        parts = each.get("compute") if isinstance(each, dict) else None
        yield from (part for part in parts or () if isinstance(part, dict))


def _included(scope: object) -> set[str]:
    return {kind for part in _compute(scope) for kind in part if kind != "exclude"}


def _excluded(scope: object) -> set[str]:
    """Return the hosts and instances that a scope excludes."""
    parts = (each for part in _compute(scope) for each in part.get("exclude") or ())
    found = set()
    for part in parts:
        found |= {str(each["name"]) for each in part.get("compute_nodes") or () if "name" in each}
        found |= {str(each["uuid"]) for each in part.get("instances") or () if "uuid" in each}
    return found


def _unknown(row: Row) -> Invalid:
    return Invalid(
        "this is neither an audit nor an audit template of Watcher",
        (f"it has {', '.join(sorted(map(str, row))[:12]) or 'nothing'}",),
        fix="export with `openstack optimize audittemplate list -f json --detail`, "
        "`openstack optimize audit list -f json --detail`",
    )
