# SPDX-License-Identifier: Apache-2.0
"""Why Nova did not do something, from its own records, in plain words and with what helps.

Nova answers most orders with yes and fails later: a server is back where it was, without a fault.
The reasons are in the instance's actions, of which the last one of a name is read.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from billow.engines.openstack.nova import Nova, Seen
from billow.errors import BillowError, Refused

NOT_ALLOWED: Final = "openstack-403"
_LONGEST: Final = 500
_WORDS: Final = (
    (
        r"NoValidHost|No valid host was found",
        "Nova's scheduler let no host through",
        "see `billow plan why-not`: the target is full, disabled, down, or barred by a rule",
    ),
    (
        r"is not on shared storage|InvalidSharedStorage|is not on local storage",
        "the hosts do not share the storage that this way of moving needs",
        "move it with its disks (block migration), or stop it and move it cold",
    ),
    (
        r"InvalidCPUInfo|Unacceptable CPU|CPU doesn't have compatibility|guest CPU",
        "the target's CPU lacks what the guest sees",
        "choose a target with the same CPU, or set `[libvirt] cpu_models` to a common model",
    ),
    (
        r"requested topology|NUMATopology|InstancePCIRequest|Insufficient compute resources",
        "the target has not the CPUs, pages or devices that it needs, on its NUMA nodes",
        "choose another target, or make room on this one",
    ),
    (
        r"[Qq]uota exceeded|OverQuota",
        "the project's quota is used up",
        "raise the quota, or delete something of this project",
    ),
    (
        r"Timed out waiting for a reply|MessagingTimeout|message queue",
        "a part of Nova got no answer from another one within its time",
        "see that RabbitMQ, nova-conductor and the host's nova-compute run, then try again",
    ),
    (
        r"ComputeServiceUnavailable|Compute service of .* is unavailable|is not able to be reached",
        "the host's nova-compute does not answer",
        "see that it runs, or choose another host",
    ),
    (
        r"ServerGroup|server group|affinity",
        "its server group forbids that host",
        "choose a host that the group allows",
    ),
    (r"[Ii]s locked|InstanceIsLocked", "the server is locked", "openstack server unlock ID"),
    (
        r"Policy doesn't allow|not authorized|Forbidden",
        "the cloud does not allow it to whom Billow is there",
        "give Billow's user the role that the cloud's policy names: usually `admin`",
    ),
    (
        r"ImageNotFound|Image .* could not be found|ImageUnacceptable",
        "its image cannot be used",
        "openstack image list shows those that there are",
    ),
    (
        r"MigrationPreCheck|pre-check",
        "the hosts' check before the move said no",
        "read the details, or choose another target",
    ),
)


def told(brief: str, said: Iterable[str], fix: str = "") -> Refused:
    """Return what Nova said as an error: in plain words where they are known."""
    lines = tuple(dict.fromkeys(line for each in said if (line := _short(each))))
    text = "\n".join(lines)
    for pattern, words, helps in _WORDS:
        if re.search(pattern, text):
            return Refused(f"{brief}: {words}", lines, fix or helps, "nova-failed")
    why = f": {lines[0]}" if lines else ": Nova does not say why"
    return Refused(f"{brief}{why}", lines[1:], fix or _AT_A_LOSS, "nova-failed")


_AT_A_LOSS: Final = "openstack server event list shows what Nova did, its logs the rest"


def refused(brief: str, error: BillowError) -> Refused:
    """Return an order's refusal in plain words; one by role says so."""
    reasons = error.details[1:] or (error.brief, *error.details)
    if error.code == NOT_ALLOWED:
        reasons = ("Policy doesn't allow it", *reasons)
    return told(brief, reasons, error.fix)


async def failure(nova: Nova, brief: str, seen: Seen, action: str) -> Refused:
    """Return why the last action of a name failed, by the records of its server."""
    return told(brief, [seen.fault, *await _records(nova, seen.uuid, action)])


async def _records(nova: Nova, uuid: str, action: str) -> list[str]:
    """Return what the last action of a name left in Nova's records; nothing when it is silent."""
    try:
        listed = await nova.get(f"/servers/{uuid}/os-instance-actions")
        of_name = [each for each in listed["instanceActions"] if each.get("action") == action]
        if not of_name:
            return []
        latest = max(of_name, key=lambda each: str(each.get("start_time")))
        path = f"/servers/{uuid}/os-instance-actions/{latest['request_id']}"
        said = (await nova.get(path))["instanceAction"]
    except BillowError as error:
        return [f"Nova's records could not be read: {error.brief}"]
    return [line for event in said.get("events") or [] for line in _lines(event)]


def _lines(event: Mapping[str, Any]) -> list[str]:
    """Return what one event of an action tells of an error: its text, and where it came from."""
    if event.get("result") != "Error":
        return []
    last = [line.strip() for line in str(event.get("traceback") or "").splitlines() if line.strip()]
    details = str(event.get("details") or "")
    said = last[-1] if last else details
    where = f" (on {event['host']})" if event.get("host") else ""
    return [f"{event.get('event')}{where}: {said or 'no reason given'}"]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}..."
