# SPDX-License-Identifier: Apache-2.0
"""Drives: what they forecast of themselves, by smartctl's JSON and nvme-cli's."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from billow.agent.probes.probe import Probe
from billow.agent.probes.program import found, output
from billow.model.ha.evidence import Hardware, Symptom

WARNINGS: Final = (
    (1, Hardware.PREDICTED, "its spare blocks run out"),
    (2, Hardware.PREDICTED, "it is too hot or too cold"),
    (4, Hardware.PREDICTED, "it is no longer reliable"),
    (8, Hardware.HURTING, "it has become read-only"),
    (16, Hardware.PREDICTED, "its backup of volatile memory failed"),
    (32, Hardware.HURTING, "its persistent memory has become unreliable"),
)
"""Bits of NVMe's `critical_warning` (NVM Express base specification, SMART log page)."""
WORN_PERCENT: Final = 100
_EXIT_FAILING, _EXIT_PREFAIL, _EXIT_ERRORS = 8, 16, 64  # bits 3, 4 and 6: smartctl(8)
_REALLOCATED, _PENDING, _UNCORRECTABLE = 5, 197, 198
_MANY_SECTORS: Final = 10

Document = dict[str, Any]


class Smart(Probe):
    """Every drive that smartctl finds."""

    name = "drive-smart"
    period_s = 300.0

    def missing(self) -> str:
        """Return what the host lacks for it."""
        return "" if found("smartctl") else "no smartctl: install smartmontools"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Ask each drive."""
        smartctl = found("smartctl")
        drives = json.loads(output(smartctl, "--scan", "-j") or "{}").get("devices", [])
        for each in drives:
            answer = output(smartctl, "-j", "-a", "-n", "standby", "-d", each["type"], each["name"])
            yield from judge_smart(Path(each["name"]).name, json.loads(answer or "{}"), wall)


class Nvme(Probe):
    """NVMe drives, where nvme-cli is there and smartctl is not."""

    name = "drive-nvme"
    period_s = 300.0

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if found("smartctl"):
            return "smartctl looks after NVMe drives as well"
        if not found("nvme"):
            return "no nvme: install nvme-cli"
        return "" if list(Path("/dev").glob("nvme[0-9]")) else "no NVMe drives"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Ask each drive."""
        for device in sorted(Path("/dev").glob("nvme[0-9]")):
            answer = output(found("nvme"), "smart-log", str(device), "-o", "json")
            yield from judge_nvme(device.name, json.loads(answer or "{}"), wall)


def judge_smart(drive: str, answer: Document, wall: float) -> Iterator[Symptom]:
    """Yield what `smartctl -j -a` says of a drive."""
    code = answer.get("smartctl", {}).get("exit_status", 0)
    passed = answer.get("smart_status", {}).get("passed", True)
    if not passed or code & _EXIT_FAILING:
        text = "the drive says that it is failing (SMART)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    elif code & _EXIT_PREFAIL:
        text = "a value that forecasts failure is below its threshold (SMART)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    if log := answer.get("nvme_smart_health_information_log"):
        yield from judge_nvme(drive, log, wall)
    if worn := list(_sectors(answer)):
        text = f"more than {_MANY_SECTORS} sectors are {' and '.join(worn)}"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)
    defects = int(answer.get("scsi_grown_defect_list") or 0)
    if defects > _MANY_SECTORS:
        text = f"more than {_MANY_SECTORS} grown defects"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)


def judge_nvme(drive: str, log: Document, wall: float) -> Iterator[Symptom]:
    """Yield what a SMART log of an NVMe drive says, in smartctl's names or in nvme-cli's."""
    warning = log.get("critical_warning", 0)
    warning = warning.get("value", 0) if isinstance(warning, dict) else warning
    for bit, grade, text in WARNINGS:
        if warning & bit:
            yield Symptom("drive", drive, grade, f"NVMe: {text}", wall)
    used = int(log.get("percentage_used") or log.get("percent_used") or 0)
    if used >= WORN_PERCENT:
        yield Symptom("drive", drive, Hardware.PREDICTED, "it is worn out by its own count", wall)
    if log.get("media_errors", 0):
        text = "data could not be read back (media errors)"
        yield Symptom("drive", drive, Hardware.PREDICTED, text, wall)


def _sectors(answer: Document) -> Iterator[str]:
    words = {_REALLOCATED: "replaced", _PENDING: "pending", _UNCORRECTABLE: "unreadable"}
    for attribute in answer.get("ata_smart_attributes", {}).get("table", ()):
        many = int(attribute.get("raw", {}).get("value") or 0) > _MANY_SECTORS
        if many and attribute.get("id") in words:
            yield words[attribute["id"]]
