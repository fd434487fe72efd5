# SPDX-License-Identifier: Apache-2.0
"""The network of the hosts: a namespace for each, joined by two bridges.

One bridge joins the hosts (migrations), the other their guests; what a guest sends to its host
itself is dropped, so that a guest can never answer a migration's call. Addresses live inside the
namespaces only, so that several pools and whatever else runs on this machine never meet. Without
the rights for namespaces there is no such network: hosts share this machine's, and guests reach
outwards only.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from typing import Final

from billow.errors import Refused

HOST_ADDRESS: Final = "10.77.0.{number}"
HOST_PREFIX: Final = 24
GUEST_ADDRESS: Final = "10.78.{high}.{low}"
GUEST_PREFIX: Final = 16
MOST_HOSTS: Final = 254
HOST_LINK: Final = "hosts0"
"""A host's link to the other hosts; what shapes migrations (tc) goes here."""
_GUESTS: Final = "guests"
_HOSTS: Final = "hosts"
_UPLINK: Final = "up0"
_UNSENT: Final = "/proc/sys/net/ipv4/tcp_notsent_lowat"
_UNSENT_BYTES: Final = 128 * 2**10
"""What the kernel takes from a sender and has not sent yet: more than that is counted as gone by
QEMU, and the guest stands still longer than it was promised while it drains. What is on its way is
not bounded by it, so that a long link carries as much as ever."""
_PATIENCE: Final = "echo 2 >tcp_syn_retries; echo 6 >tcp_retries2"
"""A silent network is noticed after 7 s by who connects, and after 25 s by who sends: QEMU can be
stopped by neither before, and would wait for minutes."""
_WALL: Final = f"""
table inet billow
delete table inet billow
table inet billow {{
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname "{_GUESTS}" drop
  }}
}}
"""


class Network:
    """The network of one pool. Hosts are known by name and number (from 1)."""

    def __init__(self, tag: str, hosts: dict[str, int], *, namespaces: bool) -> None:
        self.namespaces = namespaces
        self.tag = tag
        self.carried: dict[tuple[str, str], tuple[float, float]] = {}
        """What was measured from host to host, MiB/s, and when (monotonic): `carried.py`'s."""
        self._hosts = hosts

    def namespace(self, host: str) -> str:
        """Return the name of a host's namespace; empty when there are none."""
        return f"bw-{self.tag}-{host}" if self.namespaces else ""

    def address(self, host: str) -> str:
        """Return a host's address in the pool's network."""
        return HOST_ADDRESS.format(number=self._hosts[host])

    async def set_up(self) -> None:
        """Make what is missing; nothing is done to what is there. Raises Refused."""
        if not self.namespaces or await self._complete():
            return
        names = [self._fabric, *map(self.namespace, self._hosts)]
        await _ip("", (f"netns add {name}" for name in names), force=True)
        await _ip(self._fabric, self._fabric_lines(), force=True)
        await asyncio.gather(*map(self._set_up_host, self._hosts))
        if not await self._complete():
            raise Refused(
                "the network of the hosts could not be set up",
                details=(f"namespaces bw-{self.tag}-*",),
                fix="look at `ip netns list`, or start without root",
            )

    async def tear_down(self) -> None:
        """Remove every namespace, with its interfaces; what is not there is no error."""
        if self.namespaces:
            names = [*map(self.namespace, self._hosts), self._fabric]
            await _ip("", (f"netns del {name}" for name in names), force=True)

    async def add_tap(self, host: str, tap: str) -> None:
        """Make a tap on a host's bridge; one that is there is kept. Raises Refused."""
        where, join = self.namespace(host), f"link set dev {tap} master {_GUESTS} up"
        try:
            await _ip(where, (f"tuntap add dev {tap} mode tap vnet_hdr", join))
        except Refused:  # it is there already, or `ip` says again what is wrong
            await _ip(where, (join,))

    async def remove_tap(self, host: str, tap: str) -> None:
        """Remove a tap; one that is not there is no error."""
        await _ip(self.namespace(host), (f"link del dev {tap}",), force=True)

    @property
    def _fabric(self) -> str:
        return f"bw-{self.tag}.fabric"  # a host's name has no dot

    def _fabric_lines(self) -> Iterable[str]:
        yield "link set dev lo up"
        for bridge in (_HOSTS, _GUESTS):
            yield f"link add {bridge} type bridge"
            yield f"link set dev {bridge} up"
        for host, number in self._hosts.items():
            where = f"netns {self.namespace(host)}"
            yield f"link add h{number} type veth peer name {HOST_LINK} {where}"
            yield f"link set dev h{number} master {_HOSTS} up"
            yield f"link add g{number} type veth peer name {_UPLINK} {where}"
            yield f"link set dev g{number} master {_GUESTS} up"

    async def _set_up_host(self, host: str) -> None:
        lines = (
            "link set dev lo up",
            f"link add {_GUESTS} type bridge",
            f"link set dev {_UPLINK} master {_GUESTS} up",
            f"link set dev {_GUESTS} up",
        )
        namespace = self.namespace(host)
        await _ip(namespace, lines, force=True)
        command = (*_within(namespace), "nft", "-f", "-")
        code, _, said = await _run(command, _WALL)
        if code:
            raise Refused(
                f"the wall between guests and host {host} could not be built",
                details=(said.strip(),),
                fix="apt-get install --no-install-recommends nftables",
            )
        # without the right to it, a promised downtime is only kept less exactly
        await _run((*_within(namespace), "tee", _UNSENT), str(_UNSENT_BYTES))
        patience = f"cd /proc/sys/net/ipv4 && {_PATIENCE}"
        await _run((*_within(namespace), "sh", "-c", patience))  # it may be read-only: no harm
        address = f"address replace {self.address(host)}/{HOST_PREFIX} dev {HOST_LINK}"
        await _ip(namespace, (address, f"link set dev {HOST_LINK} up"), force=True)

    async def _complete(self) -> bool:
        """Return whether everything is there. A host gets its address after its wall."""
        ports = {f"{kind}{number}" for kind in "hg" for number in self._hosts.values()}
        if not {_HOSTS, _GUESTS, *ports} <= await self._links(self._fabric):
            return False
        return all(await asyncio.gather(*map(self._reachable, self._hosts)))

    async def _reachable(self, host: str) -> bool:
        """Return whether a host has its bridge, its links and its address."""
        shown = await _ip_json(self.namespace(host), "address", "show")
        addresses = [
            str(info.get("local")) for link in shown for info in _mappings(link.get("addr_info"))
        ]
        links = {str(link.get("ifname")) for link in shown}
        return self.address(host) in addresses and {_GUESTS, _UPLINK, HOST_LINK} <= links

    async def _links(self, namespace: str) -> set[str]:
        return {str(link.get("ifname")) for link in await _ip_json(namespace, "link", "show")}


def free_address(taken: Iterable[str]) -> str:
    """Return a guest address with its prefix that nobody has. Raises Refused when none is."""
    used = set(taken)
    for number in range(1, 2**16 - 1):
        where = GUEST_ADDRESS.format(high=number >> 8, low=number & 255)
        if number & 255 not in {0, 255} and f"{where}/{GUEST_PREFIX}" not in used:
            return f"{where}/{GUEST_PREFIX}"
    raise Refused("every guest address of the pool's network is taken", code="no-address")


def _within(namespace: str) -> tuple[str, ...]:
    """Return what to put before a command that shall run in a network namespace, or in ours.

    `ip -n` would do for `ip`, but it remounts the root first, which a chroot does not allow.
    """
    return ("nsenter", f"--net=/run/netns/{namespace}") if namespace else ()


async def _ip(namespace: str, lines: Iterable[str], *, force: bool = False) -> None:
    """Run `ip` on lines of its batch language; with `force`, go on after a line that fails."""
    command = (*_within(namespace), "ip", *(("-force",) if force else ()), "-batch", "-")
    code, _, said = await _run(command, "".join(f"{line}\n" for line in lines))
    if code and not force:
        raise Refused("the network did not change", details=(" ".join(command), said.strip()))


async def _ip_json(namespace: str, *words: str) -> list[dict[str, object]]:
    code, answer, _ = await _run((*_within(namespace), "ip", "-json", *words))
    with contextlib.suppress(json.JSONDecodeError):
        return _mappings(json.loads(answer)) if code == 0 else []
    return []


def _mappings(value: object) -> list[dict[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


async def _run(command: tuple[str, ...], text: str = "") -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    answer, said = await process.communicate(text.encode())
    return process.returncode or 0, answer.decode(), said.decode()
