# SPDX-License-Identifier: Apache-2.0
"""Read what an agent says of its host: bodies of frames into reports. Pure; believes nothing.

Keys that are absent stand as they were said before; keys that are not known are left alone, since
an agent may be newer than its controller.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, AgentReport, Hardware, Network, Symptom

_MOST_ENTRIES = 4096
_MOST_TEXT = 1000
Body = Mapping[str, object]


def greeted(report: AgentReport, body: Body) -> AgentReport:
    """Return a report after a HELLO. Raises Invalid."""
    return replace(
        report,
        boot=_text(body.get("boot", report.boot)),
        machine=_text(body.get("machine", "")),
        pools=tuple(_text(each) for each in _list(body.get("pools", []))),
        lease_s=_number(body.get("lease_s", 0.0)),
        lease_possible_s=_number(body.get("lease_possible_s", 0.0)),
        peers=tuple(_text(each) for each in _list(body.get("peers", []))),
        asked_at=_places(body.get("asked_at", {})),
        quarantined=body.get("quarantined", False) is True,
    )


def said(report: AgentReport, body: Body) -> AgentReport:
    """Return a report after a beat with a body. Raises Invalid."""
    if "symptoms" in body:
        report = replace(report, symptoms=_symptoms(body["symptoms"]))
    if "acked" in body:
        report = replace(report, acked=_acked(body["acked"]))
    if "guests" in body:
        report = replace(report, guests=tuple(_text(each) for each in _list(body["guests"])))
    if "quarantined" in body:
        report = replace(report, quarantined=body["quarantined"] is True)
    return report


def ended(body: Body) -> frozenset[tuple[str, float]]:
    """Return the instances that ended on the host of late, and when. Raises Invalid.

    They are told for a minute, over every line.
    """
    died = [each for each in _list(body.get("died", [])) if isinstance(each, dict)]
    return frozenset((_text(each.get("instance", "")), _number(each.get("at"))) for each in died)


def _symptoms(told: object) -> tuple[Symptom, ...]:
    return tuple(_symptom(each) for each in _list(told))


def _symptom(told: object) -> Symptom:
    if not isinstance(told, dict):
        raise Invalid("a symptom is no object")
    network = told.get("network")
    return Symptom(
        probe=_text(told.get("probe", "")),
        subject=_text(told.get("subject", "")),
        grade=_grade(told.get("grade")),
        text=_text(told.get("text", "")),
        since=_number(told.get("since", 0.0)),
        network=None if network is None else _network(network),
        instance=_text(told.get("instance", "")),
    )


def _acked(told: object) -> Mapping[str, Mapping[Network, float]]:
    if not isinstance(told, dict) or len(told) > _MOST_ENTRIES:
        raise Invalid("acked is no object")
    ages: dict[str, Mapping[Network, float]] = {}
    for controller, networks in told.items():
        if not isinstance(networks, dict):
            raise Invalid("acked is no object of objects")
        ages[_text(controller)] = {_network(each): _number(age) for each, age in networks.items()}
    return ages


def _places(told: object) -> Mapping[Network, str]:
    if not isinstance(told, dict) or len(told) > len(NETWORKS):
        raise Invalid("asked_at is no object")
    return {_network(each): _text(place) for each, place in told.items()}


def _list(told: object) -> list[object]:
    if not isinstance(told, list) or len(told) > _MOST_ENTRIES:
        raise Invalid(f"a body has something else than a list of at most {_MOST_ENTRIES}")
    return told


def _text(told: object) -> str:
    if not isinstance(told, str) or len(told) > _MOST_TEXT:
        raise Invalid(f"a body has something else than a text of at most {_MOST_TEXT} letters")
    return told


def _number(told: object) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or abs(told) > 1e15:
        raise Invalid("a body has something else than a number")
    if not math.isfinite(told):
        raise Invalid("a body has a number that is not finite")
    return float(told)


def _grade(told: object) -> Hardware:
    if isinstance(told, bool) or not isinstance(told, int) or told not in tuple(Hardware):
        raise Invalid("a symptom has no grade")
    return Hardware(told)


def _network(told: object) -> Network:
    if not isinstance(told, str) or told not in NETWORKS:
        raise Invalid("a body names no network")
    return Network(told)
