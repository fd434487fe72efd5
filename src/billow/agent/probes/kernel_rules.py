# SPDX-License-Identifier: Apache-2.0
"""What lines of the kernel's log mean: a table, read from the top, the first that fits counts.

The patterns follow the kernel's own format strings (kernel/watchdog.c, kernel/hung_task.c,
mm/memory-failure.c, mm/oom_kill.c, block/blk-core.c, fs/ext4/super.c, fs/xfs/xfs_fsops.c, ...), and
the choice that of node-problem-detector and gpud. GPU codes: NVIDIA's catalogue of Xid errors.
"""

import re
from dataclasses import dataclass
from typing import Final

from billow.model.ha.evidence import Hardware


@dataclass(frozen=True, slots=True)
class Rule:
    """What a line means.

    Attributes:
        probe: Under which name it is told.
        pattern: Its first group is on what; without one it concerns the host.
        text: What was seen, one sentence.
        holds_s: For how long it is a symptom when it does not come again.
    """

    probe: str
    grade: Hardware
    pattern: re.Pattern[str]
    text: str
    holds_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line was found to mean."""

    rule: Rule
    subject: str
    text: str


def _rule(probe: str, grade: Hardware, pattern: str, text: str, holds_s: float = 300.0) -> Rule:
    return Rule(probe, grade, re.compile(pattern), text, holds_s)


_FATAL, _HURTS, _FORECAST = Hardware.FATAL, Hardware.HURTING, Hardware.PREDICTED
_HOUR: Final = 3600.0
_DAY: Final = 86_400.0

RULES: Final = (
    _rule("kernel", _FATAL, r"Kernel panic - not syncing", "the kernel panicked", _DAY),
    _rule("kernel", _FATAL, r"end Kernel panic", "the kernel panicked", _DAY),
    _rule("kernel", _HURTS, r"Watchdog detected hard LOCKUP on cpu (\d+)", "a CPU is locked up"),
    _rule("kernel", _HURTS, r"NMI watchdog: .*hard LOCKUP on cpu (\d+)", "a CPU is locked up"),
    _rule("kernel", _HURTS, r"BUG: soft lockup - CPU#(\d+) stuck", "a CPU does not schedule", 60),
    _rule("kernel", _HURTS, r"rcu: INFO: .* detected (?:expedited )?stalls", "RCU stalls", 60),
    _rule("kernel", _HURTS, r"rcu: .* self-detected stall on CPU", "RCU stalls", 60),
    _rule("kernel", _HURTS, r"INFO: task (\S+?):\d+ blocked for more than", "a task hangs", 150),
    _rule("kernel", _HURTS, r"BUG: (?:unable to handle|kernel NULL pointer)",
          "the kernel stumbled", _DAY),
    _rule("kernel", _HURTS, r"(?:kernel BUG at|Oops: )", "the kernel stumbled", _DAY),
    _rule("kernel", _HURTS, r"general protection fault.*\[#\d+\]", "the kernel stumbled", _DAY),
    _rule("kernel", _HURTS, r"divide error: 0000 \[#\d+\]", "the kernel stumbled", _DAY),
    _rule("memory", _HURTS, r"mce: \[Hardware Error\]: .*Processor context corrupt",
          "a CPU is broken"),
    _rule("memory", _HURTS, r"Memory failure: (0x[0-9a-f]+): .*(?:Failed|Ignored)",
          "bad page kept"),
    _rule("memory", _HURTS, r"MCE: Killing (\S+):\d+ due to hardware memory",
          "ended by bad memory"),
    _rule("memory", _HURTS, r"EDAC (MC\d+): \d+ UE ", "uncorrected memory error", _DAY),
    _rule("memory", _FORECAST, r"Memory failure: (0x[0-9a-f]+): recovery action for .*: Recovered",
          "a bad page was taken out of use", _DAY),
    _rule("memory", _FORECAST, r"EDAC (MC\d+): \d+ CE ", "corrected memory errors", _HOUR),
    _rule("memory", _FORECAST, r"mce: \[Hardware Error\]: Machine check events logged",
          "the CPU logged hardware errors", _HOUR),
    _rule("memory", _FORECAST, r"\{\d+\}\[Hardware Error\]: .*severity: corrected",
          "the firmware corrected hardware errors", _HOUR),
    _rule("memory", _HURTS, r"Out of memory: Killed process \d+ \((qemu[^)]*|kvm|libvirtd)\)",
          "a guest was ended for memory"),
    _rule("memory", _FORECAST, r"Out of memory: Killed process \d+ \(([^)]*)\)", "memory ran out"),
    _rule("filesystem", _HURTS, r"EXT4-fs error \(device ([^)]+)\)",
          "errors in a file system", _HOUR),
    _rule("filesystem", _HURTS, r"EXT4-fs \(([^)]+)\): Remounting filesystem read-only",
          "a file system became read-only", _DAY),
    _rule("filesystem", _HURTS, r"XFS \(([^)]+)\): .*(?:[Ss]hut(?:ting)? down|Corruption)",
          "a file system was shut down", _DAY),
    _rule("filesystem", _HURTS, r"BTRFS(?: \w+)? \(device (\S+?)(?: state \w+)?\).*forced readonly",
          "a file system became read-only", _DAY),
    _rule("drive", _HURTS, r"blk_update_request: (?:critical |I/O )\S* ?error, dev (\S+?),",
          "reads or writes fail"),
    _rule("drive", _HURTS, r"(?:I/O|critical medium|critical target) error, dev (\S+?), sector",
          "reads or writes fail"),
    _rule("drive", _HURTS, r"Buffer I/O error on dev (\S+?),", "reads or writes fail"),
    _rule("drive", _HURTS, r"nvme (\S+): (?:I/O \S+|.*) timeout, (?:aborting|reset|disable)",
          "the drive does not answer"),
    _rule("drive", _HURTS, r"nvme (\S+): (?:Removing after probe failure|controller is down)",
          "the drive is gone"),
    _rule("drive", _HURTS, r"md/raid\S*:(\S+): Disk failure on", "a disk of a RAID failed", _DAY),
    _rule("drive", _FORECAST, r"(ata\d+)\S*: (?:exception Emask|hard resetting link)",
          "the link to a drive is reset"),
    _rule("storage", _HURTS, r"nfs: server (\S+) not responding", "the server does not answer", 60),
    _rule("nic", _HURTS, r"NETDEV WATCHDOG: (\S+) .*transmit queue \d+ timed out",
          "a network card does not send", 60),
    _rule("pcie", _HURTS, r"pcieport (\S+): AER: .*(?:Fatal|Uncorrect)", "PCIe errors", _HOUR),
    _rule("pcie", _FORECAST, r"pcieport (\S+): AER: .*[Cc]orrected",
          "PCIe errors corrected", _HOUR),
    _rule("clock", _FORECAST, r"clocksource: .*Marking clocksource '(\S+)' as unstable",
          "the kernel's clock is unstable", _HOUR),
    _rule("temperature", _FORECAST, r"CPU(\d+): (?:Core|Package) temperature.*above threshold",
          "a CPU is too hot", 120),
    _rule("conntrack", _HURTS, r"nf_conntrack: (?:nf_conntrack: )?table full, dropping packet",
          "new connections are dropped: the table is full", 10),
)  # fmt: skip

XID: Final = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")
XIDS: Final = {
    31: (Hardware.SOUND, "a program's own fault: memory page"),
    43: (Hardware.SOUND, "a program's own fault: stopped"),
    48: (Hardware.HURTING, "double-bit memory error"),
    61: (Hardware.HURTING, "internal microcontroller breakpoint"),
    62: (Hardware.HURTING, "internal microcontroller halt"),
    63: (Hardware.PREDICTED, "memory row to be remapped"),
    64: (Hardware.HURTING, "memory row could not be remapped"),
    74: (Hardware.HURTING, "NVLink error"),
    79: (Hardware.HURTING, "fallen off the bus"),
    92: (Hardware.PREDICTED, "many single-bit memory errors"),
    94: (Hardware.PREDICTED, "contained memory error"),
    95: (Hardware.HURTING, "uncontained memory error"),
    119: (Hardware.HURTING, "its system processor does not answer"),
    120: (Hardware.HURTING, "its system processor failed"),
    140: (Hardware.HURTING, "unrecovered memory error"),
}
"""NVIDIA's codes with what they ask for: SOUND where the program and not the card is at fault."""


def meaning(line: str) -> Meaning | None:
    """Return what a line of the kernel's log means; None for nothing."""
    if match := XID.search(line):
        return _xid(match)
    for rule in RULES:
        if match := rule.pattern.search(line):
            subject = match.group(1) if match.re.groups else ""
            return Meaning(rule, subject, rule.text)
    return None


def _xid(match: re.Match[str]) -> Meaning | None:
    card, code = match.group(1), int(match.group(2))
    grade, text = XIDS.get(code, (Hardware.PREDICTED, "an error of a code that is not known"))
    if grade is Hardware.SOUND:
        return None
    rule = Rule("gpu", grade, XID, text, _DAY)
    return Meaning(rule, card, f"Xid {code}: {text}")
