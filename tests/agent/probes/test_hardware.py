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
    judge_multipath,
    read_traffic,
    stalled_since,
)
from billow.agent.probes.chassis import judge as judge_chassis
from billow.agent.probes.drive import Nvme, Smart, judge_nvme, judge_smart
from billow.agent.probes.memory import Edac, judge_ras, poisoned_kib, read_edac, read_ras
from billow.agent.probes.mounts import Mounts
from billow.agent.probes.program import output
from billow.agent.probes.raid import judge_mdstat
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


def program(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the drives' probes find a program of this name, a shell script."""
    (folder / name).write_text(f"#!/bin/sh\n{text}")
    (folder / name).chmod(0o755)
    monkeypatch.setattr("billow.agent.probes.drive.found", lambda name: str(folder / name))


SMARTCTL = """
case "$*" in
--version) echo 'smartctl 7.3 2022-02-28 r5338 [x86_64-linux]' ;;
*--scan*) echo '{"devices": [{"name": "/dev/sda", "type": "sat"}, {"name": "/dev/sdb", "type":
  "sat"}, {"name": "/dev/sdc", "type": "sat"}]}' ;;
*sda) echo '{"smart_status": {"passed": false}}' ;;
*sdb) %s ;;
*sdc) echo '{"smart_status": {"passed": false}}' ;;
esac
"""


def test_a_drive_that_hangs_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billow.agent.probes.drive.ASK_S", 0.5)
    fails = """echo '{"smart_status": {"passed": false}}'"""
    probe = Smart()
    for said, there in (
        ("exec sleep 60", ["sda", "sdc"]),
        ("echo no JSON", ["sda", "sdc"]),
        (fails, ["sda", "sdb", "sdc"]),
        ("exec sleep 60", ["sda", "sdb", "sdc"]),
    ):
        program(tmp_path, "smartctl", SMARTCTL % said, monkeypatch)
        assert probe.missing() == ""
        assert [each.subject for each in probe.look(1)] == there, said


def test_a_smartctl_that_knows_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = 'echo "smartctl 6.6 2017-11-05 r4594"; echo "=======> UNRECOGNIZED OPTION: j"; exit 1'
    program(tmp_path, "smartctl", old, monkeypatch)
    assert "too old" in Smart().missing()
    with pytest.raises(OSError, match="prints no JSON"):
        list(Smart().look(1))
    (tmp_path / "nvme0").touch()
    assert Nvme(tmp_path).missing() == "", "nvme-cli looks in its place"


def test_every_nvme_drive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = """case "$2" in *nvme12) echo '{"critical_warning": 4}' ;; *) echo '{}' ;; esac"""
    program(tmp_path, "nvme", answer, monkeypatch)
    for name in ("nvme0", "nvme0n1", "nvme12", "nvme12n1", "nvme12n1p1", "nvme-fabrics"):
        (tmp_path / name).touch()
    probe = Nvme(tmp_path)
    assert [name for name, _ in probe.drives()] == ["nvme0", "nvme12"]
    assert [each.subject for each in probe.look(1)] == ["nvme12"]


def test_a_program_that_hangs_or_fails() -> None:
    assert output("/bin/sh", "-c", "echo said; exit 3") == "said\n"
    with pytest.raises(OSError, match="sh: failed to connect"):
        output("/bin/sh", "-c", "echo failed to connect >&2; exit 1", must_succeed=True)
    with pytest.raises(TimeoutError, match="does not end"):
        output("/bin/sleep", "60", timeout_s=0.1)


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


@pytest.mark.parametrize(
    ("level", "counts", "grade"),
    [
        ("raid1", "[2/1] [U_]", FORECAST),
        ("raid1", "[2/0] [__]", HURTS),
        ("raid1", "[3/1] [U__]", FORECAST),
        ("raid4", "[3/1] [U__]", HURTS),
        ("raid5", "level 5, 512k chunk, algorithm 2 [3/2] [UU_]", FORECAST),
        ("raid5", "level 5, 512k chunk, algorithm 2 [3/1] [U__]", HURTS),
        ("raid6", "level 6, 512k chunk, algorithm 2 [4/2] [_UU_]", FORECAST),
        ("raid6", "level 6, 512k chunk, algorithm 2 [4/1] [_U__]", HURTS),
        ("raid10", "512K chunks 2 near-copies [4/3] [_UUU]", FORECAST),
        ("raid10", "512K chunks 2 near-copies [4/2] [_UU_]", FORECAST),
        ("raid10", "512K chunks 2 near-copies [4/2] [__UU]", HURTS),
        ("raid10", "512K chunks 2 far-copies [4/2] [__UU]", FORECAST),
        ("raid10", "512K chunks 2 offset-copies [4/1] [__U_]", HURTS),
        ("raid10", "512K chunks 2 near-copies 2 far-copies [4/1] [___U]", FORECAST),
        ("(auto-read-only) raid5", "[3/1] [U__]", HURTS),
    ],
)
def test_how_many_members_a_level_can_do_without(level: str, counts: str, grade: Hardware) -> None:
    text = f"md0 : active {level} sda1[0] sdb1[1]\n      248896 blocks super 1.2 {counts}\n"
    assert [each.grade for each in judge_mdstat(text, 1)] == [grade]


def test_raids_without_a_count_of_members() -> None:
    text = """Personalities : [raid0] [raid1]
md0 : inactive sda1[0](S)
      4190208 blocks super 1.2

md1 : active raid0 sdc1[0] sdd1[1]
      2095104 blocks super 1.2 512k chunks

md2 : active raid0 sde1[0](F) sdf1[1]
      2095104 blocks super 1.2 512k chunks

md127 : inactive sdb[1](S) sda[0](S)
      5552 blocks super external:imsm

md126 : active raid1 sdb[1] sda[0]
      2095104 blocks super external:/md127/0 [2/2] [UU]

unused devices: <none>
"""
    assert short(list(judge_mdstat(text, 1))) == [("drive", "md0", HURTS), ("drive", "md2", HURTS)]


def test_multipath() -> None:
    text = """sda mpatha active ready
sdb mpatha failed faulty
sdc mpathb failed faulty
sdd mpathb failed faulty
sde mpathc active ready
sdf [orphan] undef undef
sdg mpathd failed i/o timeout
sdh mpathd failed i/o timeout
sdi mpathe active i/o pending
sdj mpathe active ready
sdk mpathf active i/o timeout
sdl mpathf active ready
"""
    found = list(judge_multipath(text, 1))
    assert short(found) == [
        ("drive", "mpatha", FORECAST), ("drive", "mpathb", HURTS), ("drive", "mpathd", HURTS),
        ("drive", "mpathf", FORECAST),
    ]  # fmt: skip


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
CPU1 Temp        | 01h | ucr |  3.1 | 92 degrees C
CPU2 Temp        | 02h | unr |  3.2 | 105 degrees C
Fan1A            | 30h | ok  |  7.1 | 5040 RPM
Fan2A            | 32h | lcr |  7.1 | 0 RPM
Fan3A            | 33h | lnr |  7.1 | 0 RPM
Fan4A            | 34h | cr  |  7.1 | 0 RPM
Fan5A            | 35h | lnc |  7.1 | 1200 RPM
Fan Block 1      | 36h | lcr | 29.1 | 0 percent
PS1 Status       | 70h | ok  | 10.1 | Presence detected
PS2 Status       | 71h | ok  | 10.2 | Presence detected, Power Supply AC lost
PSU3 Status      | 75h | cr  | 10.3 | Failure detected
PSU4 Status      | 76h | ok  | 10.4 | Presence detected, AC lost or out-of-range
PSU5 Status      | 77h | ok  | 10.5 | Presence detected, Predictive failure
PS Redundancy    | 78h | ok  |  7.1 | Redundancy Degraded
Drive 3          | 7Bh | ok  |  4.3 | Drive Present, Drive Fault
Drive 4          | 7Ch | ok  |  4.4 | Drive Present, Predictive Failure
Bay 5            | 7Dh | ok  | 26.5 | Predictive Failure Asserted
Bay 6            | 7Eh | ok  | 26.6 | Predictive Failure Deasserted
SD1              | 7Ah | ns  | 11.3 | Disabled
Voltage 1        | 6Ch | ok  | 10.1 | 232 Volts
"""


def test_a_chassis() -> None:
    """States and texts as ipmitool 1.8.19 has them in `ipmi_sdr.c` and `ipmi_sel.h`."""
    assert short(list(judge_chassis(SDR, 1))) == [
        ("temperature", "CPU1 Temp 01h", FORECAST),
        ("temperature", "CPU2 Temp 02h", HURTS),
        ("fan", "Fan2A 32h", FORECAST),
        ("fan", "Fan3A 33h", FORECAST),
        ("fan", "Fan4A 34h", FORECAST),
        ("fan", "Fan Block 1 36h", FORECAST),
        ("power", "PS2 Status 71h", FORECAST),
        ("power", "PSU3 Status 75h", FORECAST),
        ("power", "PSU4 Status 76h", FORECAST),
        ("power", "PSU5 Status 77h", FORECAST),
        ("power", "PS Redundancy 78h", FORECAST),
        ("drive", "Drive 3 7Bh", FORECAST),
        ("drive", "Drive 4 7Ch", FORECAST),
        ("drive", "Bay 5 7Dh", FORECAST),
    ]
