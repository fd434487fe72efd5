# SPDX-License-Identifier: Apache-2.0
"""Cards that carry the host's networks: carrier, speed, errors, and bonds with half a leg."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.agent.probes.interface import interfaces
from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Network, Symptom

CARDS: Final = Path("/sys/class/net")
BONDS: Final = Path("/proc/net/bonding")
ERRORS_A_SECOND: Final = 10.0
FLAPS: Final = 4
"""So many changes of the carrier within the window are a loose plug."""
WINDOW_S: Final = 60.0
_ERRORS: Final = ("rx_crc_errors", "rx_frame_errors", "rx_errors", "tx_errors")


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says of itself.

    Attributes:
        speed_mbps: 0 where it does not say.
    """

    carrier: bool
    changes: int
    speed_mbps: int
    errors: int


@dataclass(frozen=True, slots=True)
class Bond:
    """A bond and whether each leg is up."""

    up: bool
    legs: Mapping[str, bool]


Watched = list[tuple[str, Network]]
"""Each card with a network that goes over it; several may go over one."""


class Cards(Probe):
    """The cards that have this host's own addresses, and the legs of their bonds."""

    name = "nic"
    period_s = 1.0

    def __init__(
        self, local: Mapping[Network, str], cards: Path = CARDS, bonds: Path = BONDS
    ) -> None:
        self._local = local
        self._cards, self._bonds = cards, bonds
        self._first: dict[str, tuple[float, Card]] = {}
        self._best_mbps: dict[str, int] = {}

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if self._watched() else "no card has an address of this host"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what is wrong with each card and bond."""
        watched = self._watched()
        for name, network in watched:
            yield from self._card(name, network, wall)
        for file in sorted(self._bonds.iterdir()) if self._bonds.exists() else ():
            yield from self._bond(file, watched, wall)

    def _bond(self, file: Path, watched: Watched, wall: float) -> Iterator[Symptom]:
        """Yield what is wrong with a bond, for each network that goes over it."""
        above = stacked_on(file.name, self._cards)
        if networks := [network for name, network in watched if name in above]:
            bond = read_bond(file.read_text(encoding="utf-8"))
            found = (each for way in networks for each in judge_bond(file.name, bond, way, wall))
            yield from dict.fromkeys(found)  # half a bond is one thing, however many go over it

    def _card(self, name: str, network: Network, wall: float) -> Iterator[Symptom]:
        card = read_card(self._cards / name)
        began, first = self._first.setdefault(name, (wall, card))
        if wall - began > WINDOW_S:
            self._first[name] = (wall, card)
        best = max(self._best_mbps.get(name, 0), card.speed_mbps)
        self._best_mbps[name] = best
        yield from judge_card(name, (first, card), (wall - began, best), network, wall)

    def _watched(self) -> Watched:
        by_address = interfaces()
        return [
            (by_address[address], network)
            for network, address in self._local.items()
            if by_address.get(address, "lo") != "lo"
        ]


def stacked_on(card: str, cards: Path) -> frozenset[str]:
    """Return a card and all that lies on it, as VLANs and bridges do: by its `upper_*`.

    So it is few to look at. The `lower_*` of a bridge are the cards of all of its guests.
    """
    found, open_ends = {card}, [card]
    while open_ends:
        links = (cards / open_ends.pop()).glob("upper_*")
        new = {link.name.removeprefix("upper_") for link in links} - found
        found |= new
        open_ends += new
    return frozenset(found)


def read_card(folder: Path) -> Card:
    """Return what a folder like `/sys/class/net/eth0` says. Raises OSError when it is gone."""

    def number(name: str) -> int:
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):  # a card that is down says nothing
            return 0

    if not folder.exists():
        raise OSError(f"there is no {folder}")
    errors = sum(number(f"statistics/{name}") for name in _ERRORS)
    speed = max(0, number("speed"))
    return Card(number("carrier") == 1, number("carrier_changes"), speed, errors)


def judge_card(
    name: str, cards: tuple[Card, Card], known: tuple[float, int], network: Network, wall: float
) -> Iterator[Symptom]:
    """Yield what two readings of a card mean; `known` is the time between and its best speed."""
    (first, card), (between_s, best_mbps) = cards, known
    if not card.carrier:
        yield Symptom("nic", name, Hardware.HURTING, "no carrier", wall, network=network)
        return
    if card.changes - first.changes >= FLAPS:
        text = f"the carrier came and went more than {FLAPS // 2} times in a minute"
        yield Symptom("nic", name, Hardware.PREDICTED, text, wall)
    if 0 < card.speed_mbps * 2 <= best_mbps:
        text = f"it runs at {card.speed_mbps} Mbit/s and ran at {best_mbps}"
        yield Symptom("nic", name, Hardware.PREDICTED, text, wall)
    if between_s >= 1 and (card.errors - first.errors) / between_s > ERRORS_A_SECOND:
        text = f"more than {ERRORS_A_SECOND:g} broken frames a second"
        yield Symptom("nic", name, Hardware.PREDICTED, text, wall)


def read_bond(text: str) -> Bond:
    """Return the bond in a file of `/proc/net/bonding`."""
    head, *legs = re.split(r"^Slave Interface: ", text, flags=re.MULTILINE)
    status = re.compile(r"^MII Status: (\S+)", re.MULTILINE)

    def up(part: str) -> bool:
        found = status.search(part)
        return bool(found) and found.group(1) == "up"  # type: ignore[union-attr]

    return Bond(up(head), {leg.split("\n", 1)[0].strip(): up(leg) for leg in legs})


def judge_bond(name: str, bond: Bond, network: Network, wall: float) -> Iterator[Symptom]:
    """Yield what the state of a bond means."""
    down = sorted(leg for leg, up in bond.legs.items() if not up)
    if not bond.up or (down and len(down) == len(bond.legs)):
        text = "no leg of the bond is up"
        yield Symptom("nic", name, Hardware.HURTING, text, wall, network=network)
    elif down:
        text = f"half a bond: {', '.join(down)} is down"
        yield Symptom("nic", name, Hardware.PREDICTED, text, wall)
