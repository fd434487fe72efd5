# SPDX-License-Identifier: Apache-2.0
"""What lines of the kernel's log mean: a table, read from the top, the first that fits counts.

The patterns follow the kernel's own format strings (kernel/watchdog.c, kernel/hung_task.c,
mm/memory-failure.c, mm/oom_kill.c, block/blk-core.c, fs/ext4/super.c, fs/xfs/xfs_fsops.c, ...), and
the choice that of node-problem-detector and gpud. GPU codes: NVIDIA's catalogue of Xid errors.

Anybody may put words into such a line: a process's name (15 characters, and lines about a crash
begin with it), a mapped file's or a cgroup's name (as long as 255, further on), a card's name, a
label, what a USB device calls itself. So each pattern begins where the line begins, and says all
that the kernel says up to the words that decide: more than a name can hold, and no `.*` over what
may be one.
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
        a_day: It means something once there were so many such lines within a day.
    """

    probe: str
    grade: Hardware
    pattern: re.Pattern[str]
    text: str
    holds_s: float = 300.0
    a_day: int = 1


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a line was found to mean."""

    rule: Rule
    subject: str
    text: str


def _rule(probe: str, grade: Hardware, pattern: str, text: str, holds_s: float = 300.0) -> Rule:
    return Rule(probe, grade, re.compile(pattern), text, holds_s)


def _often(probe: str, pattern: str, text: str) -> Rule:
    """Return a rule for what a sound host says of itself now and then."""
    return Rule(probe, Hardware.PREDICTED, re.compile(pattern), text, _DAY, CORRECTED_A_DAY)


_FATAL, _HURTS, _FORECAST = Hardware.FATAL, Hardware.HURTING, Hardware.PREDICTED
_HOUR: Final = 3600.0
_DAY: Final = 86_400.0
CORRECTED_A_DAY: Final = 50
"""So many lines of corrected errors within a day are a forecast; one is not. What EDAC says of them
has no rule: the probe of its counters counts the errors themselves."""

RULES: Final = (
    _rule("kernel", _FATAL, r"Kernel panic - not syncing", "the kernel panicked", _DAY),
    _rule("kernel", _FATAL, r"---\[ end Kernel panic - not syncing", "the kernel panicked", _DAY),
    _rule("kernel", _HURTS, r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP on"
          r" cpu (\d+)", "a CPU is locked up"),
    _rule("kernel", _HURTS, r"(?:(?:NMI )?watchdog: )?BUG: soft lockup - CPU#(\d+) stuck for",
          "a CPU does not schedule", 60),
    _rule("kernel", _HURTS, r"(?:rcu: )?INFO: rcu\w+ (?:self-detected stall on CPU"
          r"|detected (?:expedited )?stalls on)", "RCU stalls", 60),
    _rule("kernel", _HURTS, r"INFO: task (.+):\d+ blocked (?:in I/O wait )?for more than \d+ sec",
          "a task hangs", 150),
    _rule("kernel", _HURTS, r"BUG: (?:unable to handle|kernel NULL pointer dereference)",
          "the kernel stumbled", _DAY),
    _rule("kernel", _HURTS, r"kernel BUG at [^\s:\[]+:\d+!", "the kernel stumbled", _DAY),
    _rule("kernel", _HURTS, r"(?:Oops: |Internal error: |general protection fault|divide error"
          r"|invalid opcode|stack segment|double fault)[^\[]*\[#\d+\]"
          r"(?: [A-Z][A-Z_]*(?:\(\w+\))?)*$", "the kernel stumbled", _DAY),
    _rule("memory", _HURTS, r"mce: \[Hardware Error\]: .*Processor context corrupt",
          "a CPU is broken"),
    _rule("memory", _HURTS, r"Memory failure: (0x[0-9a-f]+): recovery action for .*: "
          r"(?:Failed|Ignored)", "bad page kept"),
    _rule("memory", _HURTS, r"MCE: Killing (.+):\d+ due to hardware memory corruption",
          "ended by bad memory"),
    _rule("memory", _HURTS, r"EDAC (MC\d+): \d+ UE ", "uncorrected memory error", _DAY),
    _rule("memory", _FORECAST, r"Memory failure: (0x[0-9a-f]+): recovery action for .*: Recovered",
          "a bad page was taken out of use", _DAY),
    _often("memory", r"mce: \[Hardware Error\]: Machine check events logged",
           "the CPU logged hardware errors again and again"),
    _often("memory", r"\{\d+\}\[Hardware Error\]: event severity: corrected",
           "the firmware corrected hardware errors again and again"),
    _rule("memory", _HURTS, r"Out of memory: Killed process \d+ \((qemu[^)]*|kvm|libvirtd)\)",
          "a guest was ended for memory"),
    _rule("memory", _FORECAST, r"Out of memory: Killed process \d+ \(([^)]*)\)", "memory ran out"),
    _rule("filesystem", _HURTS, r"EXT4-fs error \(device ([^)\s]+)\): ",
          "errors in a file system", _HOUR),
    _rule("filesystem", _HURTS, r"EXT4-fs \(([^)\s]+)\): Remounting filesystem read-only",
          "a file system became read-only", _DAY),
    _rule("filesystem", _HURTS, r"XFS \(([^)\s]+)\): (?:(?:(?:Log|Metadata) )?I/O Error"
          r"|Corruption of (?:in-memory|on-disk) |Block device removal|xfs_do_force_shutdown"
          r"|Filesystem has been shut down)", "a file system was shut down", _DAY),
    _rule("filesystem", _HURTS, r"XFS \(([^)\s]+)\): (?:Corruption detected|Metadata corruption"
          r" detected|Metadata CRC error|[Mm]etadata I/O error)", "errors in a file system", _HOUR),
    _rule("filesystem", _HURTS, r"BTRFS(?: \w+)? \(device ([^\s:)]+)(?:: state \w+)?\): forced"
          r" readonly", "a file system became read-only", _DAY),
    _rule("drive", _HURTS, r"(?:blk_update_request: |print_req_error: )?(?:I/O|critical medium"
          r"|critical target|device offline|timeout) error, dev (\S+?), sector",
          "reads or writes fail"),
    _rule("drive", _HURTS, r"Buffer I/O error on dev(?:ice)? (\S+?), logical",
          "reads or writes fail"),
    _rule("drive", _HURTS, r"nvme (nvme\d+): I/O (?:tag )?\d+ .*timeout, "
          r"(?:aborting|reset|disable)", "the drive does not answer"),
    _rule("drive", _HURTS, r"nvme (nvme\d+): (?:Removing after probe failure|controller is down"
          r"|Disabling device after reset failure)", "the drive is gone"),
    _rule("drive", _HURTS, r"md/raid\S*:(\S+): Disk failure on", "a disk of a RAID failed", _DAY),
    _rule("drive", _FORECAST, r"(ata\d+)\S*: (?:exception Emask|hard resetting link)",
          "the link to a drive is reset"),
    _rule("storage", _HURTS, r"nfs: server (\S+) not responding", "the server does not answer", 60),
    _rule("nic", _HURTS, r"NETDEV WATCHDOG: (\S+) \(\S*\): transmit queue \d+ timed out",
          "a network card does not send", 60),
    _rule("nic", _HURTS, r"(?:\S+ \S+ )?(\S+): NETDEV WATCHDOG: (?:CPU: \d+: )?transmit queue",
          "a network card does not send", 60),
    _rule("pcie", _HURTS, r"pcieport (\S+): AER: .*(?:Fatal|Uncorrect)", "PCIe errors", _HOUR),
    _often("pcie", r"pcieport (\S+): AER: (?:Multiple )?[Cc]orrect(?:ed|able) error",
           "PCIe errors were corrected again and again"),
    _rule("clock", _FORECAST, r"clocksource: timekeeping watchdog(?: on CPU\d+)?: Marking"
          r" clocksource '(\S+)' as unstable", "the kernel's clock is unstable", _HOUR),
    _rule("temperature", _FORECAST, r"(?:mce: )?CPU(\d+): (?:Core|Package) temperature"
          r" (?:is )?above threshold", "a CPU is too hot", 120),
    _rule("conntrack", _HURTS, r"nf_conntrack: (?:nf_conntrack: )?table full, dropping packet",
          "new connections are dropped: the table is full", 10),
)  # fmt: skip

OF_A_PROGRAM: Final = re.compile(
    r"(?:traps: )?.{0,60}?\[\d+\](?:: segfault at | trap | general protection |: bad frame in "
    r"|: unhandled )"
)
"""A program crashed, and the kernel lives; the program's name is in front, each of its 15 bytes
written as up to four characters (`\\x0a`)."""

XID: Final = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")
XIDS: Final = {
    13: (Hardware.SOUND, "a program's own fault: graphics engine exception"),
    31: (Hardware.SOUND, "a program's own fault: memory page"),
    32: (Hardware.SOUND, "a program's own fault: broken push buffer"),
    43: (Hardware.SOUND, "a program's own fault: stopped"),
    45: (Hardware.SOUND, "a program's own fault: its channel was cleaned up"),
    68: (Hardware.SOUND, "a program's own fault: video processor exception"),
    69: (Hardware.SOUND, "a program's own fault: graphics engine class error"),
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
    if OF_A_PROGRAM.match(line):
        return None
    if match := XID.match(line):
        return _xid(match)
    for rule in RULES:
        if match := rule.pattern.match(line):
            subject = match.group(1) if match.re.groups else ""
            return Meaning(rule, subject, rule.text)
    return None


def _xid(match: re.Match[str]) -> Meaning | None:
    """Return what a GPU's code means; one that is not in the table is told and grades nothing."""
    card, code = match.group(1), int(match.group(2))
    if code not in XIDS:
        text = f"Xid {code}: a code that is not known"
        return Meaning(Rule("gpu", Hardware.SOUND, XID, text, _DAY), card, text)
    grade, text = XIDS[code]
    if grade is Hardware.SOUND:
        return None
    return Meaning(Rule("gpu", grade, XID, text, _DAY), card, f"Xid {code}: {text}")
