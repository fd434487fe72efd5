# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, found by trying: QEMU, KVM, the dirty ring, groups, namespaces.

That /dev/kvm exists proves nothing, so the firmware guest is run for an instant and must be seen at
work. The answer is kept in the cache folder as long as QEMU, the kernel and the rights are the
same.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from billow.act import durable
from billow.engines.qemu.command import Site, command_line
from billow.engines.qemu.cpu import HOST, REDUCED_HOST, TRANSLATED, host_cpu
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.groups import Hierarchy, find_hierarchy
from billow.engines.qemu.machine import Accelerator, Firmware, Machine, Platform
from billow.engines.qemu.monitor import Monitor, listen, talk
from billow.engines.qemu.process import claimed, kill, last_words, launch
from billow.errors import BillowError, Refused
from billow.firmware.control import ADDRESS, WORDS, Answer, decode
from billow.firmware.image import image, unpack

BINARY: Final = "qemu-system-x86_64"
RING_ENTRIES: Final = 1024
"""4 MiB of dirty pages per vCPU: one that a limit puts to sleep wakes up soon."""
_TRIAL_S: Final = 10.0
_AT_WORK: Final = 2
_KEPT_FORM: Final = "4"
"""Of what is kept: another one is found out anew."""
_TRIAL_UUID: Final = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Missing:
    """What this machine lacks, what that changes, and the command that mends it."""

    what: str
    effect: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What this machine can do.

    Attributes:
        qemu, qemu_img: Paths, or empty.
        version: QEMU's own words.
        board: The versioned machine type behind QEMU's `pc`.
        cpu_model: What this machine's CPUs have for guests under KVM; empty without it.
        kvm: Whether user-mode guests run under KVM.
        host_cpu: By which words KVM's guests get what this machine's CPUs have.
        kvm_systems: Whether operating systems do, too (kernel-mode code is native).
        dirty_ring: Whether KVM counts dirty pages per vCPU.
        sandbox: Whether QEMU can lock itself in.
        tls: Whether QEMU can encrypt.
        hierarchy: Where control groups can be made.
        namespaces: Whether hosts can have network namespaces, bridges and taps of their own.
        missing: Everything that would change something, worst first.
    """

    qemu: str = ""
    version: str = ""
    board: str = ""
    cpu_model: str = ""
    kvm: bool = False
    host_cpu: str = HOST
    kvm_systems: bool = False
    dirty_ring: bool = False
    sandbox: bool = False
    tls: bool = False
    qemu_img: str = ""
    namespaces: bool = False
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    missing: tuple[Missing, ...] = ()

    def platform(self, *, system: bool, cpu: str = "") -> Platform:
        """Return how to run a guest: one with an operating system, or one in user mode only.

        `cpu` is the CPU that it shall see under KVM; empty for the host's own.
        """
        if self.kvm_systems if system else self.kvm:
            ring = RING_ENTRIES if self.dirty_ring else 0
            return Platform(
                accelerator=Accelerator.KVM,
                board=self.board,
                cpu=cpu or self.host_cpu,
                dirty_ring=ring,
            )
        return Platform(accelerator=Accelerator.TCG, board=self.board, cpu=TRANSLATED)


@dataclass(frozen=True, slots=True)
class _Kept:
    key: str
    findings: Findings


async def probe(cache: Path, environment: Mapping[str, str]) -> Findings:
    """Find out what this machine can do; below 20 ms when nothing changed since the last time."""
    path = environment.get("PATH", os.defpath)
    qemu = shutil.which(BINARY, path=path) or ""
    key = _key(qemu, path)
    kept = durable.recall(_Kept, cache / "probe.json")
    if kept is not None and kept.key == key:
        return _complete(kept.findings)
    findings = Findings(
        qemu=qemu,
        qemu_img=shutil.which("qemu-img", path=path) or "",
        namespaces=await _namespaces(environment),
    )
    if qemu:
        findings = await _try_all(findings, durable.make_folder(cache))
    if not qemu or findings.version:
        durable.make_folder(cache)
        durable.save(cache / "probe.json", _Kept(key, findings))
    return _complete(findings)


def _complete(findings: Findings) -> Findings:
    """Add what is quicker to look at than to keep, and what is missing of it all."""
    findings = replace(findings, hierarchy=find_hierarchy())
    return replace(findings, missing=_missing(findings))


def _key(qemu: str, path: str) -> str:
    """Name everything that the answer depends on."""
    parts = [_KEPT_FORM, os.uname().release, str(os.geteuid()), hashlib.sha256(image()).hexdigest()]
    for file in (qemu, *(shutil.which(tool, path=path) for tool in ("qemu-img", "ip", "nft"))):
        facts = Path(file).stat() if file else None
        parts.append(f"{file} {facts.st_mtime_ns} {facts.st_size}" if facts else "-")
    parts.append(f"kvm {os.access('/dev/kvm', os.R_OK | os.W_OK)}")
    parts.append(f"tun {os.access('/dev/net/tun', os.R_OK | os.W_OK)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


async def _try_all(findings: Findings, cache: Path) -> Findings:
    """Run the firmware guest in the best way that works here."""
    kvm = Accelerator.KVM
    ways = [(kvm, cpu, ring) for ring in (RING_ENTRIES, 0) for cpu in (HOST, REDUCED_HOST)]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        ways = []
    for accelerator, cpu, ring in [*ways, (Accelerator.TCG, TRANSLATED, 0)]:
        for sandbox in (True, False):
            platform = Platform(accelerator=accelerator, board="pc", cpu=cpu, dirty_ring=ring)
            with contextlib.suppress(BillowError, TimeoutError):
                return await _trial(replace(findings, sandbox=sandbox), platform, cache)
    return findings


async def _trial(findings: Findings, platform: Platform, cache: Path) -> Findings:
    """Run the firmware guest for an instant; raise unless it was at work."""
    firmware = unpack(cache)
    machine = Machine(
        instance="probe",
        uuid=_TRIAL_UUID,
        cpus=1,
        memory_mib=16,
        platform=platform,
        boot=Firmware(image=firmware),
    )
    with tempfile.TemporaryDirectory(prefix="trial-", dir=cache) as folder:
        residence = Residence(Path(folder))
        try:
            await _start(machine, residence, cache, findings)
            async with talk(residence.socket, timeout_s=_TRIAL_S) as monitor:
                version, board = await _identity(monitor)
                kvm = platform.accelerator is Accelerator.KVM
                cpu_model = await host_cpu(monitor) if kvm else ""
                tls = await _encrypts(monitor)
                answer = await _at_work(monitor)
        except BillowError as error:
            error.details += last_words(residence)
            raise
        finally:
            await kill(residence)
    return replace(
        findings,
        version=version,
        board=board,
        cpu_model=cpu_model,
        kvm=kvm,
        host_cpu=platform.cpu if kvm else HOST,
        kvm_systems=kvm and answer.runs_systems,
        dirty_ring=platform.dirty_ring > 0,
        tls=tls,
    )


async def _encrypts(monitor: Monitor) -> bool:
    """Return whether QEMU was built with TLS: the objects have names even where it was not."""
    trial = {"qom-type": "tls-creds-anon", "id": "trial", "endpoint": "client"}
    with contextlib.suppress(Refused):
        await monitor.execute("object-add", trial)
        return True
    return False


async def _start(machine: Machine, residence: Residence, cache: Path, findings: Findings) -> None:
    nothing = residence.path / "nothing"
    with claimed(residence) as lock, listen(residence.socket) as server:
        site = Site(
            binary=Path(findings.qemu),
            qmp=server.fileno(),
            cache=cache,
            pid=residence.pid,
            serial=residence.path / "serial",
            disk=nothing,
            seed=nothing,
            orders=nothing,
            sandbox=findings.sandbox,
        )
        await launch(command_line(machine, site), residence, (server.fileno(), lock))


async def _identity(monitor: Monitor) -> tuple[str, str]:
    """Return QEMU's version and the machine type behind `pc`."""
    version = await monitor.mapping("query-version")
    numbers = version["qemu"]
    parts = numbers if isinstance(numbers, dict) else {}
    text = ".".join(str(parts.get(part)) for part in ("major", "minor", "micro"))
    boards = await monitor.execute("query-machines")
    for board in boards if isinstance(boards, list) else ():
        if isinstance(board, dict) and board.get("alias") == "pc":
            return text, str(board["name"])
    return text, "pc"


async def _at_work(monitor: Monitor) -> Answer:
    """Let the guest run until it counts; raise TimeoutError when it does not."""
    await monitor.execute("cont")
    async with asyncio.timeout(_TRIAL_S):
        while True:
            answer = decode(await monitor.words(ADDRESS, WORDS))
            if answer.online == _AT_WORK and answer.work > 0:
                return answer
            await asyncio.sleep(0.01)


def has_tools(environment: Mapping[str, str]) -> bool:
    """Return whether the tools and the rights for namespaces and taps seem to be here."""
    path = environment.get("PATH", os.defpath)
    tools = all(shutil.which(tool, path=path) for tool in ("ip", "nft", "nsenter"))
    return tools and os.geteuid() == 0 and os.access("/dev/net/tun", os.R_OK | os.W_OK)


async def _namespaces(environment: Mapping[str, str]) -> bool:
    """Return whether a namespace can be made, by making one."""
    if not has_tools(environment):
        return False
    name = f"bw-probe-{os.getpid()}"
    batch = f"netns add {name}\nnetns del {name}\n".encode()
    trial = await asyncio.create_subprocess_exec(
        *("ip", "-batch", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await trial.communicate(batch)
    return trial.returncode == 0


def _missing(found: Findings) -> tuple[Missing, ...]:
    checks = (
        (not found.qemu, _NO_QEMU),
        (bool(found.qemu) and not found.version, _BROKEN_QEMU),
        (not found.kvm, _without_kvm()),
        (found.kvm and not found.kvm_systems, _SLOW_KVM),
        (not found.qemu_img, _NO_QEMU_IMG),
        (bool(found.version) and not found.tls, _NO_TLS),
        (not found.hierarchy.cpu, NO_GROUPS),
        (not found.namespaces, _NO_NAMESPACES if os.geteuid() == 0 else _NO_ROOT),
    )
    return tuple(missing for lacks, missing in checks if lacks)


def _without_kvm() -> Missing:
    """Tell why KVM does not work: no device, no right to it, or a device that does nothing."""
    if not os.access("/dev/kvm", os.F_OK):
        return _NO_KVM_DEVICE
    return _BROKEN_KVM if os.access("/dev/kvm", os.R_OK | os.W_OK) else _NO_KVM_RIGHT


_NO_QEMU = Missing(
    "QEMU", "no instance can run", "apt-get install --no-install-recommends qemu-system-x86"
)
_BROKEN_QEMU = Missing(
    "a QEMU that starts",
    "no instance can run",
    f"run `{BINARY} -machine pc -display none` by hand and read what it says",
)
_NO_KVM_DEVICE = Missing(
    "KVM",
    "instances run by translation (TCG), about 50 times slower",
    "switch on virtualisation in this machine's firmware or hypervisor, then: modprobe kvm_intel "
    "|| modprobe kvm_amd",
)
_BROKEN_KVM = Missing(
    "a KVM that works",
    "instances run by translation (TCG), about 50 times slower",
    "/dev/kvm is there but runs no guest: look at `dmesg | grep -i kvm`",
)
_NO_KVM_RIGHT = Missing(
    "access to KVM",
    "instances run by translation (TCG), about 50 times slower",
    'usermod --append --groups kvm "$USER", then log in again',
)
_SLOW_KVM = Missing(
    "native kernel-mode code under KVM",
    "the firmware guest runs under KVM, guests with an operating system by translation (TCG)",
    "run Billow on hardware, or on a hypervisor that passes VT-x or AMD-V through",
)
_NO_QEMU_IMG = Missing(
    "qemu-img",
    "no instance can have a disk",
    "apt-get install --no-install-recommends qemu-utils",
)
_NO_TLS = Missing(
    "TLS in QEMU",
    "no running instance moves to another host, unless migration_tls is false",
    "use a QEMU that was built with GnuTLS, as Debian's is",
)
NO_GROUPS = Missing(
    "a cgroup CPU controller",
    "no instance can be held to a CPU limit, and a host's instances do not share the host's CPUs",
    "start Billow as root where the cgroup file system can be written (a container: with "
    "`--privileged --cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup`)",
)
_NO_NAMESPACES = Missing(
    "network namespaces with taps",
    "hosts share this machine's network; instances reach outwards only",
    "apt-get install --no-install-recommends iproute2 nftables, and give this container "
    "CAP_NET_ADMIN, CAP_SYS_ADMIN and /dev/net/tun",
)
_NO_ROOT = Missing(
    "root",
    "hosts have no network of their own; instances reach outwards only",
    "start Billow as root",
)
