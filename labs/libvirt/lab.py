# SPDX-License-Identifier: Apache-2.0
"""A lab of libvirtd hosts: each its own mount, UTS and network namespaces on this machine.

A host is a real libvirtd that runs real QEMU. It has private copies of what a libvirtd takes for
its own (/etc/libvirt, /var/lib/libvirt, /var/log/libvirt, /var/cache/libvirt, /run), a name, an
address in a network that only the lab reaches, and one folder that all hosts share. Its socket
lies in the lab's folder, so that a program outside can speak with it.

Needs root, iproute2, util-linux, QEMU and Debian's libvirt-daemon, libvirt-daemon-driver-qemu. No
systemd, no docker; it works in a chroot.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labs.libvirt.certificates import Authority

NETWORK = "10.77.0"
MOST_HOSTS = 9
PATIENCE_S = 60.0
PKI = "/etc/libvirt/pki"
"""Where each host has its certificates."""
PEER_URI = f"qemu+tls://{{host}}/system?pkipath={PKI}"
"""Where the hosts find each other."""
PRIVATE = ("/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")
ACCOUNTS = ("kvm:x:993:", "libvirt:x:992:", "libvirt-qemu:x:64055:")
"""What Debian's libvirt-daemon-system would add to /etc/group; libvirtd looks them up."""
_CAPABILITIES = Path("qemu", "capabilities")
_LIBVIRTD = """\
listen_tls = 1
listen_tcp = 1
ca_file = "{pki}/cacert.pem"
cert_file = "{pki}/servercert.pem"
key_file = "{pki}/serverkey.pem"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
listen_addr = "{address}"
host_uuid = "{uuid}"
log_filters = "3:*"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
_QEMU = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migrate_tls_x509_cert_dir = "{pki}"
migrate_tls_x509_verify = 1
migration_host = "{address}"
migration_address = "{address}"
"""
_START = """\
set -e
root='{tree}'
mount --rbind / "$root"
mount --make-rprivate "$root"
for folder in {private}; do
  mkdir -p "$root$folder"
  mount --bind '{host}'"$folder" "$root$folder"
done
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/libvirt" "$root/run/lock"
mount --bind '{host}/socket' "$root/run/libvirt"
for file in /etc/passwd /etc/group /etc/hosts; do mount --bind '{host}'"$file" "$root$file"; done
hostname '{name}'
exec chroot "$root" '{python}' -I '{keeper}' libvirtd --listen
"""


class LabError(Exception):
    """The lab cannot do what it was asked."""


@dataclass(frozen=True)
class LabHost:
    """One host of a lab.

    Attributes:
        folder: What is private to it, and its socket.
        netns: Its network namespace; every process in it is the host's.
    """

    name: str
    number: int
    folder: Path
    netns: str

    @property
    def address(self) -> str:
        """Its address among the hosts."""
        return f"{NETWORK}.{self.number}"

    @property
    def socket(self) -> Path:
        """The libvirtd's socket, for programs outside."""
        return self.folder / "socket" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """Where Billow finds it: `NAME=URI`, as the setting `libvirt_uris` takes it."""
        return f"{self.name}=qemu+unix:///system?socket={self.socket}"

    def processes(self) -> list[int]:
        """Return the processes that live in this host, libvirtd and guests alike."""
        return list(_in_namespace(Path("/run/netns", self.netns)))

    def daemon(self) -> int | None:
        """Return the number of its libvirtd, or None."""
        for number in self.processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{number}/comm").read_text().strip() == "libvirtd":
                    return number
        return None

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` inside the host. Raises LabError when it is off."""
        number = self.daemon()
        if number is None:
            raise LabError(f"{self.name} is not up")
        return ["nsenter", "-t", str(number), "-m", "-u", "-n", "-r", "-w", *words]


class Lab:
    """Up to nine hosts, `h1` and on, in a folder; everything that it makes bears the folder's tag.

    Args:
        root: Its folder; short, because sockets lie in it.
        count: How many hosts.
        cache: Where libvirt's findings about QEMU are kept for the next lab: the first look takes
            a libvirtd several seconds.
    """

    def __init__(self, root: Path, count: int, cache: Path | None = None) -> None:
        if not 1 <= count <= MOST_HOSTS:
            raise LabError(f"a lab has 1 to {MOST_HOSTS} hosts, not {count}")
        self.root = root.absolute()
        self.cache = cache or self.root / "cache"
        self.tag = "lv" + hashlib.sha256(str(self.root).encode()).hexdigest()[:6]
        self.hosts = [
            LabHost(f"h{n}", n, self.root / f"h{n}", f"{self.tag}-h{n}")
            for n in range(1, count + 1)
        ]

    @property
    def shared(self) -> Path:
        """A folder that every host and every program outside sees under this same path."""
        return self.root / "shared"

    def up(self) -> None:
        """Bring every host up that is not. Raises LabError with what libvirtd said."""
        self._check()
        self.shared.mkdir(parents=True, exist_ok=True)
        self._plant()
        self._lay_network()
        for host in self.hosts:
            self.start(host)
            self._share_findings(host)

    def start(self, host: LabHost) -> None:
        """Start a host's libvirtd, and wait until it answers."""
        if host.daemon() is not None:
            return
        self._furnish(host)
        tree = self.trees / host.name
        tree.mkdir(exist_ok=True)
        script = _START.format(
            tree=tree,
            host=host.folder,
            private=" ".join(PRIVATE),
            name=host.name,
            python=sys.executable,
            keeper=Path(__file__).with_name("keeper.py"),
        )
        host.socket.unlink(missing_ok=True)
        with (host.folder / "start.log").open("wb") as log:
            subprocess.run(
                [
                    *("setsid", "--fork", "nsenter", f"--net=/run/netns/{host.netns}"),
                    *("unshare", "--mount", "--propagation", "unchanged", "--uts"),
                    *("sh", "-c", script),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        _until(lambda: _answers(host.socket), lambda: f"{host.name} does not come up: {said(host)}")

    def kill(self, host: LabHost) -> None:
        """End everything in a host at once, as if its power was cut."""
        for _ in range(200):
            numbers = host.processes()
            if not numbers:
                return
            for number in numbers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.02)
        raise LabError(f"{host.name} does not end: processes {host.processes()}")

    def stop_daemon(self, host: LabHost) -> None:
        """End a host's libvirtd only; its guests run on."""
        number = host.daemon()
        if number is not None:
            os.kill(number, signal.SIGKILL)
            _until(lambda: host.daemon() is None, lambda: f"{host.name}'s libvirtd does not end")

    def down(self) -> None:
        """End every host and remove all that the lab made, the cache excepted."""
        for host in self.hosts:
            if Path("/run/netns", host.netns).exists():
                self.kill(host)
                _run("ip", "netns", "del", host.netns)
            shutil.rmtree(host.folder, ignore_errors=True)
        if Path("/run/netns", self.fabric).exists():
            _run("ip", "netns", "del", self.fabric)
        if self.trees.is_mount():
            _run("umount", "--lazy", str(self.trees))
        if self.trees.exists():
            self.trees.rmdir()  # and never more than that: hosts had the whole tree below it
        for folder in (self.shared, self.root / "authority"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def trees(self) -> Path:
        """Where each host has its tree of files; only the host itself sees it whole."""
        return self.root / "trees"

    @property
    def fabric(self) -> str:
        """The network namespace that joins the hosts."""
        return f"{self.tag}-net"

    def _check(self) -> None:
        if os.geteuid() != 0:
            raise LabError("a lab needs root")
        missing = [each for each in ("libvirtd", "ip", "nsenter", "unshare") if not _which(each)]
        if missing:
            raise LabError(
                f"not found: {', '.join(missing)}; apt-get install --no-install-recommends "
                "libvirt-daemon libvirt-daemon-driver-qemu iproute2 qemu-system-x86"
            )
        if len(str(self.hosts[-1].socket)) > 100:
            raise LabError(f"{self.root} is too long for sockets; choose a shorter folder")

    def _plant(self) -> None:
        """Make the place where hosts see their whole tree: what they mount there stays theirs.

        In a chroot the root need be no mount point, and cannot be made private then.
        """
        self.trees.mkdir(exist_ok=True)
        if not self.trees.is_mount():
            _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.trees))
            _run("mount", "--make-private", str(self.trees))

    def _lay_network(self) -> None:
        if not Path("/run/netns", self.fabric).exists():
            _run("ip", "netns", "add", self.fabric)
            _inside(self.fabric, "ip", "link", "add", "br0", "type", "bridge")
            _inside(self.fabric, "ip", "link", "set", "br0", "up")
        for host in self.hosts:
            if Path("/run/netns", host.netns).exists():
                continue
            there, here, port = host.netns, self.fabric, f"p{host.number}"
            _run("ip", "netns", "add", there)
            link = ["link", "add", "eth0", "netns", there, "type", "veth", "peer", "name", port]
            _run("ip", *link, "netns", here)
            _inside(here, "ip", "link", "set", port, "master", "br0", "up")
            _inside(there, "ip", "address", "add", f"{host.address}/24", "dev", "eth0")
            _inside(there, "ip", "link", "set", "eth0", "up")
            _inside(there, "ip", "link", "set", "lo", "up")

    def _furnish(self, host: LabHost) -> None:
        """Lay out what is private to a host; what a former start left is kept."""
        for each in (*PRIVATE, "/etc", "/socket", "/var/lib/libvirt/images"):
            Path(f"{host.folder}{each}").mkdir(mode=0o755, parents=True, exist_ok=True)
        findings = Path(f"{host.folder}/var/cache/libvirt") / _CAPABILITIES
        if (self.cache / _CAPABILITIES).exists() and not findings.exists():
            shutil.copytree(self.cache / _CAPABILITIES, findings)
        uuid = f"00000000-0000-4000-8000-0000{self.tag[2:]}{host.number:02d}"
        words = {"address": host.address, "uuid": uuid, "pki": PKI}
        authority = Authority.kept_in(self.root / "authority")
        authority.equip(Path(f"{host.folder}{PKI}"), host.name, host.address)
        etc = host.folder / "etc"
        (etc / "libvirt" / "libvirtd.conf").write_text(_LIBVIRTD.format(**words))
        (etc / "libvirt" / "qemu.conf").write_text(_QEMU.format(**words))
        names = "".join(f"{each.address} {each.name}\n" for each in self.hosts)
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + names)
        _with_accounts(Path("/etc/group"), etc / "group", ACCOUNTS)
        user = ("libvirt-qemu:x:64055:993::/var/lib/libvirt:/usr/sbin/nologin",)
        _with_accounts(Path("/etc/passwd"), etc / "passwd", user)

    def _share_findings(self, host: LabHost) -> None:
        """Keep what a host's libvirt found out about QEMU, for the next one to start with."""
        theirs = Path(f"{host.folder}/var/cache/libvirt") / _CAPABILITIES
        if not any(theirs.glob("*.xml")):
            _run(*host.command("virsh", "-c", "qemu:///system", "capabilities"))
        for found in theirs.glob("*.xml"):
            kept = self.cache / _CAPABILITIES / found.name
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, kept)


def said(host: LabHost) -> str:
    """Return the end of what a host's start and its libvirtd said."""
    files = (host.folder / "start.log", Path(f"{host.folder}/var/log/libvirt/libvirtd.log"))
    texts = [each.read_text(errors="replace") for each in files if each.exists()]
    return "; ".join(line for text in texts for line in text.splitlines()[-4:])


def _with_accounts(source: Path, copy: Path, lines: tuple[str, ...]) -> None:
    known = source.read_text()
    names = {line.partition(":")[0] for line in known.splitlines()}
    more = [line + "\n" for line in lines if line.partition(":")[0] not in names]
    copy.write_text(known + "".join(more))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


def _until(true: Callable[[], bool], why: Callable[[], str]) -> None:
    """Wait until something is true. Raises LabError with `why()`."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise LabError(why())
        time.sleep(0.02)


def _in_namespace(netns: Path) -> Iterator[int]:
    """Yield the processes in a network namespace."""
    try:
        wanted = netns.stat().st_ino
    except FileNotFoundError:
        return
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if path.stat().st_ino == wanted:
                yield int(path.parts[2])


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _inside(netns: str, *command: str) -> None:
    """Run a command in a network namespace; `ip -n` would remount /sys, which a chroot forbids."""
    _run("nsenter", f"--net=/run/netns/{netns}", *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
