# SPDX-License-Identifier: Apache-2.0
"""Memory, drives, RAIDs, multipath and chassis: what their own reports mean."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from billow.agent.probes.block import (
    Traffic,
    judge_mdstat,
    judge_multipath,
    read_traffic,
    stalled_since,
)
from billow.agent.probes.chassis import judge as judge_chassis
from billow.agent.probes.drive import judge_nvme, judge_smart
from billow.agent.probes.memory import Edac, judge_ras, poisoned_kib, read_edac, read_ras
from billow.agent.probes.mounts import Mounts
from billow.model.ha.evidence import Hardware, Symptom

HURTS, FORECAST = Hardware.HURTING, Hardware.PREDICTED


def short(found: list[Symptom]) -> list[tuple[str, str, Hardware]]:
    return [(each.probe, each.subject, each.grade) for each in found]


def test_memory_controllers_count(tmp_path: Path) -> None:
    controller = tmp_path / "mc0"

    def count(corrected: int, uncorrected: int) -> None:
        (controller / "ce_count").write_text(f"{corrected}\n")
        (controller / "ue_count").write_text(f"{uncorrected}\n")

    probe = Edac(tmp_path)
    assert probe.missing()
    controller.mkdir()
    count(7, 0)
    assert read_edac(tmp_path) == {"mc0": (7, 0)}
    assert probe.missing() == ""
    assert list(probe.look(0)) == []
    count(20, 0)
    assert list(probe.look(10)) == [], "a few corrected errors are no forecast"
    count(60, 0)
    assert short(list(probe.look(20))) == [("memory", "mc0", FORECAST)]
    count(60, 1)
    assert short(list(probe.look(30))) == [("memory", "mc0", HURTS)]


def test_poisoned_pages() -> None:
    text = "MemTotal:       24684076 kB\nHardwareCorrupted:     8 kB\nAnonHugePages: 0 kB\n"
    assert poisoned_kib(text) == 8
    assert poisoned_kib("MemTotal: 1 kB\n") is None


def test_what_rasdaemon_kept(tmp_path: Path) -> None:
    file = tmp_path / "ras-mc_event.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, err_count INTEGER,"
            " err_type TEXT, err_msg TEXT, label TEXT, mc INTEGER, top_layer INTEGER,"
            " middle_layer INTEGER, lower_layer INTEGER, address INTEGER, grain INTEGER,"
            " syndrome INTEGER, driver_detail TEXT)"
        )
        rows = [
            ("now", 60, "Corrected", "DIMM_A1"),
            ("now", 3, "Corrected", "DIMM_A2"),
            ("now", 1, "Uncorrected", "DIMM_B1"),
            ("-3 days", 900, "Corrected", "DIMM_C1"),
        ]
        for when, count, kind, label in rows:
            database.execute(
                "INSERT INTO mc_event (timestamp, err_count, err_type, label) VALUES"
                " (datetime('now', 'localtime', ?) || ' +0000', ?, ?, ?)",
                (when.replace("now", "-0 days"), count, kind, label),
            )
    found = list(judge_ras(read_ras(file), 1.0))
    assert short(found) == [("memory", "dimm DIMM_A1", FORECAST), ("memory", "dimm DIMM_B1", HURTS)]
    (tmp_path / "broken.db").write_text("no database at all, but long enough to be read as one")
    with pytest.raises(OSError, match="broken"):
        read_ras(tmp_path / "broken.db")


NVME: dict[str, Any] = {
    "smartctl": {"version": [7, 0], "exit_status": 0},
    "device": {"name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
    "smart_status": {"passed": True, "nvme": {"value": 0}},
    "nvme_smart_health_information_log": {
        "critical_warning": 0, "temperature": 35, "available_spare": 99,
        "available_spare_threshold": 10, "percentage_used": 3, "media_errors": 0,
        "num_err_log_entries": 62, "temperature_sensors": [35, 39],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("log", "grades"),
    [
        ({}, []),
        ({"media_errors": 7}, [FORECAST]),
        ({"critical_warning": 1}, [FORECAST]),
        ({"critical_warning": 8}, [HURTS]),
        ({"critical_warning": 9, "percentage_used": 104}, [FORECAST, HURTS, FORECAST]),
    ],
)
def test_nvme_by_smartctl(log: dict[str, int], grades: list[Hardware]) -> None:
    known = NVME["nvme_smart_health_information_log"]
    answer = NVME | {"nvme_smart_health_information_log": {**known, **log}}
    assert [
        each.grade for each in judge_smart("nvme0", json.loads(json.dumps(answer)), 1)
    ] == grades


def test_nvme_by_nvme_cli() -> None:
    log: dict[str, Any] = {"critical_warning": 4, "percent_used": 100, "media_errors": 0}
    assert len(list(judge_nvme("nvme1", log, 1))) == 2
    log = {"critical_warning": {"value": 2, "temp_threshold": 1}, "media_errors": 0}
    assert [each.text for each in judge_nvme("nvme1", log, 1)] == [
        "NVMe: it is too hot or too cold"
    ]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"smartctl": {"exit_status": 0}, "smart_status": {"passed": True}}, 0),
        ({"smartctl": {"exit_status": 4}, "smart_status": {"passed": True}}, 0),
        ({"smartctl": {"exit_status": 24}, "smart_status": {"passed": False}}, 1),
        ({"smartctl": {"exit_status": 16}, "smart_status": {"passed": True}}, 1),
        ({"smartctl": {"exit_status": 2}}, 0),
        ({"smart_status": {"passed": True}, "scsi_grown_defect_list": 56}, 1),
    ],
)
def test_disks_by_smartctl(answer: dict[str, object], count: int) -> None:
    assert len(list(judge_smart("sda", answer, 1))) == count


def test_sectors_of_a_disk() -> None:
    def table(pending: int) -> dict[str, object]:
        rows = [
            {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 2, "string": "2"}},
            {"id": 194, "name": "Temperature_Celsius", "raw": {"value": 163208757287}},
            {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": pending}},
        ]
        return {"smart_status": {"passed": True}, "ata_smart_attributes": {"table": rows}}

    assert list(judge_smart("sda", table(0), 1)) == []
    assert short(list(judge_smart("sda", table(64), 1))) == [("drive", "sda", FORECAST)]


MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4]
md127 : active raid1 sdi2[0] sdj2[1]
      312319552 blocks [2/2] [UU]

md0 : active raid1 sdi1[0] sdb1[1](F)
      248896 blocks [2/1] [U_]

md4 : inactive raid1 sda3[0](F) sdb3[1](S)
      4883648 blocks [2/2] [UU]

md6 : active raid1 sdb2[2] sda2[0]
      195310144 blocks [2/1] [U_]
      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min

unused devices: <none>
"""


def test_raids() -> None:
    assert short(list(judge_mdstat(MDSTAT, 1))) == [
        ("drive", "md0", FORECAST), ("drive", "md4", HURTS), ("drive", "md6", FORECAST),
    ]  # fmt: skip


def test_multipath() -> None:
    text = """sda mpatha active ready
sdb mpatha failed faulty
sdc mpathb failed faulty
sdd mpathb failed faulty
sde mpathc active ready
sdf [orphan] undef undef
"""
    found = list(judge_multipath(text, 1))
    assert short(found) == [("drive", "mpatha", FORECAST), ("drive", "mpathb", HURTS)]


def test_a_device_of_which_nothing_comes_back() -> None:
    idle, busy, hung = Traffic(10, 0), Traffic(11, 3), Traffic(11, 3)
    since = stalled_since({}, {"sda": idle, "sdb": busy}, 1.0)
    assert since == {"sdb": (1.0, 11)}
    since = stalled_since(since, {"sdb": hung}, 5.0)
    assert since == {"sdb": (1.0, 11)}
    assert stalled_since(since, {"sdb": Traffic(12, 1)}, 6.0) == {"sdb": (6.0, 12)}
    assert stalled_since(since, {"sdb": Traffic(12, 0)}, 6.0) == {}


def test_traffic_of_this_machine() -> None:
    found = read_traffic(Path("/sys/block"))
    assert found
    assert max(each.done for each in found.values()) > 0


def test_a_file_system_that_became_read_only(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    line = "25 1 254:0 / {point} rw,relatime shared:1 - {kind} /dev/vda1 {how},errors=remount-ro\n"
    file.write_text(
        line.format(point="/", kind="ext4", how="rw")
        + line.format(point="/mnt/cd", kind="ext4", how="ro")
        + line.format(point="/proc", kind="proc", how="rw")
    )
    probe = Mounts(file)
    assert list(probe.look(1)) == [], "one that never could be written is no fault"
    file.write_text(line.format(point="/", kind="ext4", how="ro"))
    assert short(list(probe.look(2))) == [("filesystem", "/", HURTS)]


SDR = """Inlet Temp       | 04h | ok  |  7.1 | 23 degrees C
CPU1 Temp        | 01h | cr  |  3.1 | 92 degrees C
CPU2 Temp        | 02h | nr  |  3.2 | 105 degrees C
Fan1A            | 30h | ok  |  7.1 | 5040 RPM
Fan2A            | 32h | cr  |  7.1 | 0 RPM
PS1 Status       | 70h | ok  | 10.1 | Presence detected
PS2 Status       | 71h | ok  | 10.2 | Presence detected, Power Supply AC lost
PSU3 Status      | 75h | cr  | 10.3 | Failure detected
PS Redundancy    | 77h | ok  |  7.1 | Redundancy Degraded
SD1              | 7Ah | ns  | 11.3 | Disabled
Voltage 1        | 6Ch | ok  | 10.1 | 232 Volts
"""


def test_a_chassis() -> None:
    assert short(list(judge_chassis(SDR, 1))) == [
        ("temperature", "CPU1 Temp 01h", FORECAST),
        ("temperature", "CPU2 Temp 02h", HURTS),
        ("fan", "Fan2A 32h", FORECAST),
        ("power", "PS2 Status 71h", FORECAST),
        ("power", "PSU3 Status 75h", FORECAST),
        ("power", "PS Redundancy 77h", FORECAST),
    ]
