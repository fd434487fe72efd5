# SPDX-License-Identifier: Apache-2.0
"""OpenStack's host monitor with Consul, as the package masakari-monitors ships it, told on stdout.

Runs by a Python that has that package. Only its notifier is replaced, and, for the cases, the
member lists that it would get from Consul: what decides is the package's own code.

    masakari_monitor.py watch INTERVAL_S MANAGE TENANT STORAGE   one JSON line per notification
    masakari_monitor.py cases                                    one JSON object: case -> right
"""

import json
import sys
import time
from typing import Any
from unittest import mock

import eventlet

eventlet.monkey_patch(os=False)

from masakarimonitors import conf  # noqa: E402 (eventlet wants to be first)
from masakarimonitors.hostmonitor.consul_check import consul_helper, manager  # noqa: E402

UP, DEAD, NO_STORAGE = ["up"] * 3, ["down"] * 3, ["up", "up", "down"]


class Told:
    """Takes notifications in place of Masakari's API."""

    def __init__(self, *, loud: bool) -> None:
        self.loud = loud
        self.all: list[tuple[str, str]] = []

    def send_notification(self, _retries: int, _interval: int, event: dict[str, Any]) -> None:
        """Take one."""
        said = event["notification"]
        entry = {"at": time.monotonic(), "host": said["hostname"], **said["payload"]}
        self.all.append((entry["host"], entry["event"]))
        if self.loud:
            print(json.dumps(entry), flush=True)


def monitor(*, loud: bool) -> tuple[Any, Told]:
    """Return its monitor, and who is told."""
    with mock.patch("masakarimonitors.ha.masakari.SendNotification"):
        made = manager.ConsulCheck()
    made.notifier, made.hostname = Told(loud=loud), "controller"
    return made, made.notifier


def watch(interval_s: str, *addresses: str) -> None:
    """Monitor until killed."""
    names = ("agent_manage", "agent_tenant", "agent_storage")
    for name, address in zip(names, addresses, strict=True):
        conf.CONF.set_override(name, address, "consul")
    conf.CONF.set_override("monitoring_interval", int(interval_s), "host")
    made, _ = monitor(loud=True)
    print(json.dumps({"at": time.monotonic(), "host": "", "event": "BEGUN"}), flush=True)
    made.monitor_hosts()


def seen(*looks: dict[str, list[str]]) -> list[list[tuple[str, str]]]:
    """Return what it tells after each look at the members."""
    made, told = monitor(loud=False)
    found = []
    for look in looks:
        made.consul_manager.get_health = lambda _, look=look: look
        made.update_monitoring_data()
        made.poll_hosts()
        found.append(list(told.all))
        told.all.clear()
    return found


def health(**members: dict[str, str]) -> dict[str, list[str]]:
    """Return what it makes of three rings' members."""
    rings = consul_helper.ConsulManager(conf.CONF)
    rings.agents = {name: mock.Mock(get_health=lambda m=m: m) for name, m in members.items()}
    return rings.get_health(["manage", "tenant", "storage"])


def tries_after_refusal() -> int:
    """Return how often it tells of a host whose first notification was refused for good."""
    looks = [{"h1": UP}, *[{"h1": NO_STORAGE}] * 4]
    return sum(map(len, seen(*looks)))


def cases() -> dict[str, bool]:
    """Return the six situations, and whether it does what is right in each."""
    fleet = [f"h{number}" for number in range(100)]
    well, cut = dict.fromkeys(fleet, UP), dict.fromkeys(fleet, NO_STORAGE)
    stopped = ("h1", "STOPPED")
    observer = seen(well, cut)[1]
    first = seen(*[{"h1": DEAD}] * 5)

    refused = tries_after_refusal()
    flapping = seen(*[{"h1": UP}, {"h1": NO_STORAGE}] * 4)
    row = health(manage={"h1": "up"}, tenant={}, storage={"h1": "down"})["h1"]
    both = {"h1": "up", "h2": "up"}
    gone = health(manage={"h2": "up"}, tenant=both, storage=both | {"h1": "down"})
    return {
        "an observer that lost its own cable accuses nobody": not observer,
        "a host that is dead when the watch begins is told of": any(
            stopped in each for each in first
        ),
        "a notification that was refused is sent again": refused > 1,
        "a flapping host is held back": sum(map(len, flapping)) <= 2,
        "a host reaped from one ring keeps its networks apart": len(row) == 3,
        "a host reaped from the first ring is still judged": "h1" in gone,
    }


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(*sys.argv[2:])
    else:
        print(json.dumps(cases()))
