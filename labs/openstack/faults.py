# SPDX-License-Identifier: Apache-2.0
"""Faults at the door of a lab's APIs: rules for the gates, and what the gates saw."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from labs.openstack.places import LabError, Places
from labs.openstack.services import apis

OURS: Final = "billow-lab"
"""How the lab's own calls name themselves."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule for a gate; see `inside/gate.py`.

    Attributes:
        service: identity, placement, compute, image or network.
        method: A regular expression, like path, agent and body; "" fits all.
        agent: To strike only some callers: "nova-scheduler", "openstacksdk".
        status: What is answered; 0 breaks the connection; None only delays.
        times: How often it strikes.
        skip: How many calls that fit it lets pass first.
        done: The call is carried out, and only its answer is lost.
        delay_s: Waits so long first.
    """

    service: str
    method: str = ""
    path: str = ""
    agent: str = ""
    body: str = ""
    status: int | None = 503
    times: int = 1
    skip: int = 0
    done: bool = False
    delay_s: float = 0.0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Gates:
    """The gates of one lab."""

    def __init__(self, places: Places) -> None:
        self._places = places

    @contextmanager
    def struck(self, *faults: Fault) -> Iterator[None]:
        """Have faults strike while the block runs; those that were there before stay."""
        for fault in faults:
            self.add(fault)
        try:
            yield
        finally:
            for fault in faults:
                self.remove(fault)

    def add(self, fault: Fault) -> None:
        """Lay a rule down. It holds for the next call. Raises LabError."""
        known = apis(self._places)
        if fault.service not in known:
            raise LabError(f"no API {fault.service}; there are: {', '.join(known)}")
        self._write(fault.service, [*self._rules(fault.service), asdict(fault)])

    def remove(self, fault: Fault) -> None:
        """Take a rule away."""
        rules = [each for each in self._rules(fault.service) if each["id"] != fault.id]
        self._write(fault.service, rules)

    def clear(self) -> None:
        """Take every rule away."""
        for service in apis(self._places):
            self._write(service, [])

    def hits(self, fault: Fault) -> int:
        """Return how often a fault has struck."""
        file = self._places.run / f"{fault.service}.struck"
        found: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        return found.get(fault.id, 0)

    def calls(self, service: str = "", *, own: bool = False) -> list[dict[str, Any]]:
        """Return every call that an API, or each of them, was asked, in the order of time.

        Args:
            service: Which; "" for all.
            own: The lab's own calls, too.
        """
        found: list[dict[str, Any]] = []
        for name in [service] if service else list(apis(self._places)):
            file = self._places.run / f"{name}.calls"
            lines = file.read_text().splitlines() if file.exists() else []
            found += [{"service": name, **json.loads(line)} for line in lines]
        kept = (each for each in found if own or not each["agent"].startswith(OURS))
        return sorted(kept, key=lambda each: float(each["at"]))

    def forget(self) -> None:
        """Begin the record of calls anew."""
        for name in apis(self._places):
            file = self._places.run / f"{name}.calls"
            if file.exists():
                file.write_bytes(b"")

    def _file(self, service: str) -> Path:
        return self._places.run / f"{service}.json"

    def _rules(self, service: str) -> list[dict[str, Any]]:
        file = self._file(service)
        found: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
        return found

    def _write(self, service: str, rules: list[dict[str, Any]]) -> None:
        file = self._file(service)
        if not rules:
            file.unlink(missing_ok=True)
            return
        new = file.with_suffix(".new")
        new.write_text(json.dumps(rules))
        new.replace(file)
