# SPDX-License-Identifier: Apache-2.0
"""What a real Nova, Placement, Glance, Cinder and Ironic answered (labs/openstack), once more.

Links, addresses and tracebacks were taken out; nothing else was touched.
"""

import json
from pathlib import Path
from typing import Any

from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.transport import Answer, Request, Versions

RECORDED = Path(__file__).parent / "recorded" / "lab.json"
VOLUMES = RECORDED.with_name("volumes.json")
METAL = RECORDED.with_name("metal.json")
Told = dict[str, dict[str, Any]]


def recorded() -> Told:
    """Return every recorded answer, by what was asked."""
    found: Told = json.loads(RECORDED.read_text())
    return found


class Replay:
    """Fulfils `transport.Transport`: says what was recorded, or what a test puts in its place."""

    name = "recorded"

    def __init__(self) -> None:
        self.told = recorded()
        self.instead: dict[str, Answer] = {}
        self.sent: list[Request] = []
        self.spoken: dict[str, Versions | None] = {
            "compute": Versions((2, 1), (2, 104)),
            "placement": Versions((1, 0), (1, 39)),
            "image": Versions(),
        }

    def send(self, request: Request) -> Answer:
        self.sent.append(request)
        path = request.path
        for part, answer in self.instead.items():
            if part in path:
                return answer
        if "changes-since" in path:
            path = next(key for key in self.told if key == "changes")
            return self._answer(path)
        key = f"{request.method} {request.service} {path}"
        if key not in self.told:
            return Answer(404, b'{"itemNotFound": {"code": 404, "message": "not recorded"}}')
        return self._answer(key)

    def _answer(self, key: str) -> Answer:
        found = self.told[key]
        return Answer(found["status"], json.dumps(found["body"]).encode())

    def have_volumes(self) -> None:
        """Be a cloud with Cinder: its answers were recorded of attachments to these servers."""
        self.spoken["block-storage"] = Versions((3, 0), (3, 71))
        self.told |= json.loads(VOLUMES.read_text())

    def have_machines(self) -> None:
        """Be a cloud with Ironic: three machines, a server on one, and Nova's compute for them."""
        self.spoken["baremetal"] = Versions((1, 1), (1, 115))
        for key, each in json.loads(METAL.read_text()).items():
            if key in self.told:
                for name, rows in each["body"].items():
                    self.told[key]["body"][name] += rows
            else:
                self.told[key] = each

    def say(self, part: str, body: object, status: int = 200) -> None:
        """Answer so from now on whoever asks for a path with this part in it."""
        self.instead[part] = Answer(status, json.dumps(body).encode())

    def paths(self) -> list[str]:
        """Return what was asked since the last time, without its query."""
        asked = [each.path.partition("?")[0] for each in self.sent]
        self.sent.clear()
        return asked

    def versions(self, service: str) -> Versions | None:
        return self.spoken.get(service)

    def close(self) -> None:
        """Do nothing."""


def cloud_of(replay: Replay) -> Cloud:
    """Return a cloud that says what was recorded."""
    return Cloud(replay, calls_at_once=4, calls_per_s=10_000)
