# SPDX-License-Identifier: Apache-2.0
"""Lines of real kernels and what they mean, and a log that is followed."""

import os
from pathlib import Path

import pytest

from billow.agent.probes.kernel import KernelLog, text_of
from billow.agent.probes.kernel_rules import CORRECTED_A_DAY, meaning
from billow.model.ha.evidence import Hardware, Symptom

FILE = Path(__file__).with_name("kernel-lines.txt")
LINES = [line.split("\t") for line in FILE.read_text().splitlines() if not line.startswith("#")]
FORGED = [
    line
    for line in FILE.with_name("forged-lines.txt").read_text().splitlines()
    if not line.startswith("#")
]
PANIC = "Kernel panic - not syncing"


@pytest.mark.parametrize(("probe", "grade", "subject", "line"), LINES)
def test_a_line_of_a_kernel(probe: str, grade: str, subject: str, line: str) -> None:
    found = meaning(line)
    assert found is not None
    seen = (found.rule.probe, found.rule.grade.name, found.subject or "-")
    assert seen == (probe, grade, subject)


@pytest.mark.parametrize(
    "line",
    [
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: (null)",
        "EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro",
        "XFS (dm-3): Mounting V5 Filesystem",
        "NVRM: Xid (PCI:0000:00:06): 31, pid=79749, name=exe, Ch 0000000a, MMU Fault",
        "NVRM: Xid (PCI:0000:00:06): 43, pid=79749, name=exe, Ch 00000010",
        "NVRM: Xid (PCI:0000:00:06): 13, pid=79749, name=exe, Graphics SM Warp Exception",
        "NVRM: Xid (PCI:0000:00:06): 32, pid=79749, name=exe, Channel ID 0000000a intr0 00040000",
        "NVRM: Xid (PCI:0000:00:06): 45, pid=79749, name=exe, Ch 0000000a",
        "NVRM: Xid (PCI:0000:00:06): 68, pid=79749, name=exe, NVDEC0 Exception",
        "NVRM: Xid (PCI:0000:08:00): 69, Class Error: ChId 003b, Class 0000c197",
        "EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0)",
        "BTRFS info (device sda2): using crc32c (crc32c-intel) checksum algorithm",
        "EDAC MC0: Giving out device to module sb_edac controller Haswell SrcID#0_Ha#0: DEV 0",
        "Command line: BOOT_IMAGE=/vmlinuz panic=10 oops=panic nmi_watchdog=panic",
        "md/raid1:md0: active with 2 out of 2 mirrors",
        "nvme nvme0: 8/0/0 default/read/poll queues",
    ],
)
def test_a_line_that_is_no_fault(line: str) -> None:
    assert meaning(line) is None


@pytest.mark.parametrize("line", FORGED)
def test_a_name_that_somebody_chose_says_nothing(line: str) -> None:
    assert meaning(line) is None


def test_a_chosen_name_in_a_true_line_changes_nothing_of_it() -> None:
    found = meaning(f"INFO: task {PANIC[:15]}:77 blocked for more than 120 seconds.")
    assert found is not None
    assert (found.rule.grade, found.subject) == (Hardware.HURTING, PANIC[:15])
    killed = meaning(f"Out of memory: Killed process 991 ({PANIC[:15]}) total-vm:4194304kB")
    assert killed is not None
    assert killed.rule.grade is Hardware.PREDICTED


def _looked(log: KernelLog, writer: int, line: str, wall: float) -> list[Symptom]:
    """Write a line into a log; return what is told then."""
    os.write(writer, f"4,1,1,-;{line}\n".encode())
    return list(log.look(wall))


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("mce: [Hardware Error]: Machine check events logged", ""),
        ("{7}[Hardware Error]: event severity: corrected", ""),
        ("pcieport 0000:00:1c.0: AER: Corrected error received: 0000:02:00.0", "0000:00:1c.0"),
        (
            "pcieport 0000:00:1c.0: AER: Correctable error message received from 0000:02:00.0",
            "0000:00:1c.0",
        ),
    ],
)
def test_corrected_errors_forecast_when_they_are_many_within_a_day(
    tmp_path: Path, line: str, subject: str
) -> None:
    pipe = tmp_path / "kmsg"
    os.mkfifo(pipe)
    log, writer = KernelLog(pipe), os.open(pipe, os.O_RDWR)

    def told(count: int, wall: float) -> list[tuple[str, Hardware]]:
        found = [_looked(log, writer, line, wall) for _ in range(count)]
        return [(each.subject, each.grade) for each in found[-1]]

    assert told(CORRECTED_A_DAY - 1, 0.0) == [], "a few of them are no forecast"
    assert told(1, 90_000.0) == [], "those of yesterday do not count"
    assert told(CORRECTED_A_DAY - 1, 90_100.0) == [(subject, Hardware.PREDICTED)]
    os.close(writer)


def test_only_the_kernel_speaks_for_the_kernel() -> None:
    assert text_of("6,1234,5678,-;EXT4-fs (a): x\n SUBSYSTEM=block") == "EXT4-fs (a): x"
    assert text_of("0,1,2,-;Kernel panic - not syncing: x").startswith("Kernel panic")
    assert text_of("12,1234,5678,-;Kernel panic - not syncing: forged") == ""
    assert text_of("6,1,2,c;Kernel panic - not syncing: a cgroup's name after a break") == ""
    assert text_of("0,1,2,-,caller=T1;Kernel panic - not syncing: x").startswith("Kernel panic")


def test_the_log_is_followed(tmp_path: Path) -> None:
    pipe = tmp_path / "kmsg"
    os.mkfifo(pipe)
    log = KernelLog(pipe)
    assert log.missing() == ""
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"4,1,1,-;watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [x:1]\n")
    [found] = log.look(100.0)
    assert (found.subject, found.grade, found.since) == ("3", Hardware.HURTING, 100.0)
    os.write(writer, b"4,2,1,-;watchdog: BUG: soft lockup - CPU#3 stuck for 44s! [x:1]\n")
    [again] = log.look(130.0)
    assert again == found
    assert list(log.look(500.0)) == []
    os.close(writer)


def test_the_real_log_of_this_machine_can_be_followed() -> None:
    log = KernelLog()
    assert log.missing() == ""
    list(log.look(1.0))
    Path("/dev/kmsg").write_text("Kernel panic - not syncing: this is a test of Billow")
    assert not [each for each in log.look(2.0) if each.grade is Hardware.FATAL]
