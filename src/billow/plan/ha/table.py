# SPDX-License-Identifier: Apache-2.0
"""The decision table: what is done for a host, for all 192 things that can be known of it.

The rows are data (`table.csv`), read and checked once. A row speaks of what is agreed about a
host; whether anything is done for it now is for the gates, and how for the protocol.
"""

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Final, NamedTuple

from billow.errors import Bug
from billow.model.ha.evidence import NETWORKS, Hardware, Network, Sight
from billow.model.ha.incident import Method, Recovery
from billow.model.ha.response import Grace, Response, Severity
from billow.model.kinds import Power

ROWS: Final = 192


class Key(NamedTuple):
    """The left-hand side of a row.

    Attributes:
        lost: Per network, in the order of NETWORKS, whether it is lost.
        lease: Whether its watchdog resets it when nobody acknowledges its beats.
    """

    lost: tuple[bool, ...]
    power: Power
    hardware: Hardware
    lease: bool


@cache
def rows() -> Mapping[Key, Response]:
    """Return the table. Raises Bug when it is not whole, or breaks a law."""
    found = dict(_read())
    missing = set(_keys()) - found.keys()
    numbers = {each.row for each in found.values()}
    if missing or numbers != set(range(1, ROWS + 1)):
        raise Bug(f"the decision table lacks {len(missing)} rows, or numbers one twice")
    return found


@cache
def masakari() -> Mapping[int, str]:
    """Return what Masakari's consul driver does by default, by the number of the row."""
    return {int(line["row"]): line["masakari"] for line in _lines()}


@cache
def key_of(row: int) -> Key:
    """Return the left-hand side of a row by its number."""
    return next(key for key, response in rows().items() if response.row == row)


def row_of(number: int) -> Response:
    """Return a row by its number."""
    return rows()[key_of(number)]


def key_for(sight: Sight) -> Key:
    """Return the left-hand side that a host falls under.

    A path that its own agent proves broken is lost, though beats may still pass over it; but who is
    heard at all can be commanded over one network.
    """
    lost = {*sight.lost, *(each.network for each in sight.symptoms if each.network is not None)}
    if len(lost) == len(NETWORKS):
        lost -= set(sight.reachable[:1])
    places = tuple(each in lost for each in NETWORKS)
    return Key(places, sight.power, sight.hardware, sight.lease_s > 0)


def respond(sight: Sight) -> Response:
    """Return what is done for a host of which this is known."""
    return rows()[key_for(sight)]


def _keys() -> Iterator[Key]:
    lost = product((False, True), repeat=len(NETWORKS))
    yield from (Key(*each) for each in product(lost, Power, Hardware, (True, False)))


def _lines() -> Iterator[dict[str, str]]:
    text = files(__package__).joinpath("table.csv").read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())


def _read() -> Iterator[tuple[Key, Response]]:
    for line in _lines():
        try:
            key, response = _key(line), _response(line)
        except (KeyError, ValueError) as error:
            raise Bug(f"row {line.get('row')} of the decision table cannot be read") from error
        if problem := next(_problems(key, response), ""):
            raise Bug(f"row {response.row} of the decision table: {problem}")
        yield key, response


def _key(line: Mapping[str, str]) -> Key:
    return Key(
        lost=tuple({"up": False, "down": True}[line[network]] for network in Network),
        power=Power(line["power"]),
        hardware=Hardware(int(line["hardware"])),
        lease=_flag(line["lease"]),
    )


def _response(line: Mapping[str, str]) -> Response:
    return Response(
        row=int(line["row"]),
        diagnosis=line["diagnosis"],
        recovery=Recovery(line["recovery"]),
        fence=tuple(Method(each) for each in line["fence"].split()),
        grace=Grace(line["grace"]),
        cordon=_flag(line["cordon"]),
        distrust=_flag(line["distrust"]),
        severity=Severity(line["severity"]),
        advice=line["advice"],
    )


def _flag(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _problems(key: Key, response: Response) -> Iterator[str]:
    """Yield which laws a row breaks: no number of reviewed rows is as good as a check of each."""
    ends = response.recovery is Recovery.RESTART
    if response.fence and not ends:
        yield "it seeks a proof of death, and starts nothing elsewhere"
    if Method.LEASE in response.fence and not key.lease:
        yield "it waits for a lease that nobody holds"
    if Method.AGENT in response.fence and all(key.lost):
        yield "it asks an agent that nobody reaches"
    if Method.BMC in response.fence and key.power is Power.UNKNOWN:
        yield "it cuts power by a management controller that does not answer"
    if key.power is Power.OFF and not all(key.lost) and (ends or not response.distrust):
        yield "it believes that a host is off which is heard"
    if ends and not any(key.lost) and key.hardware is not Hardware.FATAL:
        yield "it ends a host that is heard on all networks"
    if ends and not response.cordon:
        yield "it lets instances come to a host that is being ended"
    if not response.diagnosis or (response.severity is not Severity.NONE and not response.advice):
        yield "it does not say what it is, or what to do"
