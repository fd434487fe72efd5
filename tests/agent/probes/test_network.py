# SPDX-License-Identifier: Apache-2.0
"""Cards, bonds, gateways, the switch, connections: real links between namespaces."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from billow.agent.probes.conntrack import judge as judge_conntrack
from billow.agent.probes.gateway import Gateways, asked
from billow.agent.probes.nic import Bond, Cards, judge_bond, read_bond, read_card, stacked_on
from billow.agent.probes.vswitch import AGAIN_S, Vswitch, runs
from billow.model.ha.evidence import Hardware, Network, Symptom
from tests.agent.ground import Host, own_links, run, within

HURTS, FORECAST = Hardware.HURTING, Hardware.PREDICTED
HERE, GATEWAY = "10.98.1.2", "10.98.1.1"


@pytest.fixture
def wired(host: Host, tmp_path: Path) -> Iterator[Host]:
    """A host whose tenant card is linked with a gateway in a namespace of its own."""
    gateway = Host("gw", tmp_path)
    here, there = host.namespace, gateway.namespace
    pair = ("ten0", "type", "veth", "peer", "gw0", "netns", there)
    run(*within(here), "ip", "link", "add", *pair)
    for space, card, address in ((here, "ten0", HERE), (there, "gw0", GATEWAY)):
        run(*within(space), "ip", "addr", "add", f"{address}/24", "dev", card)
        run(*within(space), "ip", "link", "set", card, "up")
    host.folder = Path(there)
    yield host
    gateway.close()


def there(wired: Host, *command: str) -> None:
    """Run a program where the gateway is."""
    run(*within(str(wired.folder)), *command)


def rounds(wired: Host, probe: Gateways, count: int) -> list[Symptom]:
    """Let a probe ask so often; return what it says then."""
    return wired.inside(lambda: [list(probe.look(1.0)) for _ in range(count)])[-1]


def test_a_gateway_that_answers_and_then_does_not(wired: Host) -> None:
    probe = Gateways(HERE, (GATEWAY,))
    assert wired.inside(probe.missing) == ""
    once = wired.inside(lambda: asked(HERE, GATEWAY))
    assert once.large is True
    assert once.took_s is not None
    assert rounds(wired, probe, 2) == []
    there(wired, "ip", "link", "set", "gw0", "down")
    [found] = rounds(wired, probe, 3)
    assert (found.probe, found.grade, found.network) == ("gateway", HURTS, Network.TENANT)
    there(wired, "ip", "link", "set", "gw0", "up")
    wired.inside(lambda: list(probe.look(1.0)))
    assert rounds(wired, probe, 2) == []


def test_a_path_that_swallows_large_packets(wired: Host) -> None:
    probe = Gateways(HERE, (GATEWAY,))
    assert rounds(wired, probe, 1) == []
    there(wired, "nft", "add table ip big")
    there(wired, "nft", "add chain ip big in { type filter hook prerouting priority -300; }")
    there(wired, "nft", "add rule ip big in ip length > 1000 drop")
    [found] = rounds(wired, probe, 3)
    assert (found.grade, "MTU" in found.text) == (HURTS, True)


def test_a_gateway_that_never_answered_says_nothing(wired: Host) -> None:
    assert rounds(wired, Gateways(HERE, ("10.98.1.77",)), 4) == []


def test_a_card_without_carrier(wired: Host) -> None:
    probe = Cards({Network.TENANT: HERE, Network.STORAGE: "127.0.0.1"})

    def look() -> list[dict[str, object]]:
        """Look as the agent would: /sys shows the cards of the namespace that mounted it."""
        code = (
            "import json,dataclasses;from billow.agent.probes.nic import Cards;"
            "from billow.model.ha.evidence import Network;"
            f"probe=Cards({{Network.TENANT: {HERE!r}}});"
            "print(json.dumps([dataclasses.asdict(each) for each in probe.look(1.0)]))"
        )
        command = [*own_links(wired.namespace), sys.executable, "-c", code]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        found: list[dict[str, object]] = json.loads(printed)
        return found

    assert wired.inside(probe.missing) == ""
    assert look() == []
    there(wired, "ip", "link", "set", "gw0", "down")
    [found] = look()
    assert (found["subject"], found["grade"], found["network"]) == ("ten0", HURTS, "tenant")


def card(folder: Path, **numbers: int) -> Path:
    """Write what /sys says of a card."""
    (folder / "statistics").mkdir(parents=True, exist_ok=True)
    for name, number in numbers.items():
        where = folder / "statistics" if name.endswith("errors") else folder
        (where / name).write_text(f"{number}\n")
    return folder


def test_a_card_that_is_slower_flaps_or_breaks_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = card(tmp_path / "eth0", carrier=1, carrier_changes=2, speed=10_000, rx_crc_errors=0)
    assert read_card(folder).speed_mbps == 10_000
    monkeypatch.setattr("billow.agent.probes.nic.interfaces", lambda: {"10.0.1.1": "eth0"})
    probe = Cards({Network.TENANT: "10.0.1.1"}, tmp_path, tmp_path / "bonding")
    assert list(probe.look(0)) == []
    card(folder, speed=1000)
    assert [each.text for each in probe.look(2)] == ["it runs at 1000 Mbit/s and ran at 10000"]
    card(folder, speed=10_000, carrier_changes=8)
    [flaps] = probe.look(4)
    assert "came and went" in flaps.text
    card(folder, carrier_changes=2, rx_crc_errors=5000)
    [broken] = probe.look(6)
    assert (broken.grade, "broken frames" in broken.text) == (FORECAST, True)
    card(folder, carrier=0)
    assert [each.grade for each in probe.look(8)] == [HURTS]


BOND = """Ethernet Channel Bonding Driver: v5.15.0

Bonding Mode: IEEE 802.3ad Dynamic link aggregation
MII Status: up
MII Polling Interval (ms): 100

Slave Interface: eth2
MII Status: {first}
Speed: 10000 Mbps
Link Failure Count: 1

Slave Interface: eth3
MII Status: up
Speed: 10000 Mbps
Link Failure Count: 0
"""


def test_half_a_bond() -> None:
    whole, half = (read_bond(BOND.format(first=state)) for state in ("up", "down"))
    assert whole == Bond(up=True, legs={"eth2": True, "eth3": True})
    assert list(judge_bond("bond0", whole, Network.TENANT, 1)) == []
    [found] = judge_bond("bond0", half, Network.TENANT, 1)
    assert (found.grade, found.network, found.text) == (FORECAST, None, "half a bond: eth2 is down")
    none = Bond(up=False, legs={"eth2": False, "eth3": False})
    [found] = judge_bond("bond0", none, Network.TENANT, 1)
    assert (found.grade, found.network) == (HURTS, Network.TENANT)


@pytest.mark.parametrize("address_on", ["bond0", "bond0.100", "br-ten"])
def test_half_a_bond_under_what_has_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address_on: str
) -> None:
    cards, bonds = tmp_path / "net", tmp_path / "bonding"
    for name in ("eth2", "eth3", "eth9", "bond0", "bond9", "bond0.100", "br-ten", "tap7", "sto"):
        card(cards / name, carrier=1, carrier_changes=1, speed=10_000)
    stack = (("eth2", "bond0"), ("bond0", "bond0.100"), ("bond0.100", "br-ten"), ("tap7", "br-ten"))
    for lower, upper in (*stack, ("bond0", "sto")):
        (cards / lower / f"upper_{upper}").symlink_to(cards / upper)
        (cards / upper / f"lower_{lower}").symlink_to(cards / lower)
    bonds.mkdir()
    for name in ("bond0", "bond9"):
        (bonds / name).write_text(BOND.format(first="down"))
    assert stacked_on("bond0", cards) == {"bond0", "bond0.100", "br-ten", "sto"}
    found_on = {"10.0.1.1": address_on, "10.0.2.1": "sto"}
    monkeypatch.setattr("billow.agent.probes.nic.interfaces", lambda: found_on)
    local = {Network.TENANT: "10.0.1.1", Network.STORAGE: "10.0.2.1"}
    one = Cards({Network.TENANT: "10.0.1.1"}, cards, bonds)
    assert [each.text for each in one.look(1)] == ["half a bond: eth2 is down"], address_on
    assert len(list(Cards(local, cards, bonds).look(1))) == 1, "it is one bond"
    (bonds / "bond0").write_text(BOND.format(first="down").replace(": up", ": down"))
    assert {each.network for each in Cards(local, cards, bonds).look(2)} == set(local)


def test_a_table_of_connections() -> None:
    assert list(judge_conntrack(100, 262_144, 1)) == []
    assert [each.grade for each in judge_conntrack(240_000, 262_144, 1)] == [FORECAST]
    [full] = judge_conntrack(262_144, 262_144, 1)
    assert (full.grade, full.network) == (HURTS, Network.TENANT)


def test_a_switch_that_lives_hangs_and_is_dead(tmp_path: Path) -> None:
    probe = Vswitch((tmp_path,))
    assert probe.missing()
    pid = os.getpid()
    (tmp_path / "ovs-vswitchd.pid").write_text(f"{pid}\n")
    assert probe.missing() == ""
    [found] = probe.look(1)
    assert "does not answer" in found.text
    control = tmp_path / f"ovs-vswitchd.{pid}.ctl"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(control))
        listener.listen()

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                assert json.loads(line.recv(1000))["method"] == "version"
                line.sendall(b'{"id":0,"result":"ovs-vswitchd (Open vSwitch) 3.1.0","error":null}')

        thread = threading.Thread(target=answer)
        thread.start()
        assert list(probe.look(2)) == []
        thread.join()
    child = subprocess.Popen(["true"])
    child.wait()
    (tmp_path / "ovs-vswitchd.pid").write_text(f"{child.pid}\n")
    [found] = probe.look(3)
    assert (found.text, found.network) == ("ovs-vswitchd does not run", Network.TENANT)


def test_a_switch_that_ended_in_order(tmp_path: Path) -> None:
    probe, pid_file = Vswitch((tmp_path,)), tmp_path / "ovs-vswitchd.pid"
    child = subprocess.Popen(["true"])
    child.wait()
    pid_file.write_text(f"{child.pid}\n")
    assert len(list(probe.look(1))) == 1
    pid_file.unlink()
    assert list(probe.look(2)) == [], "it may be begun anew"
    [found] = probe.look(1 + AGAIN_S)
    assert (found.text, found.network) == ("ovs-vswitchd has ended", Network.TENANT)
    assert list(Vswitch((tmp_path,)).look(1)) == [], "one that never ran"


def test_a_switch_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    child = subprocess.Popen(["true"])
    child.wait()
    assert not runs(child.pid)
    monkeypatch.setattr(os, "kill", refuse)
    assert runs(child.pid), "it may not be signalled, and so it is there"
    (tmp_path / "ovn-controller.pid").write_text(f"{os.getpid()}\n")
    probe = Vswitch((tmp_path,))
    [found] = probe.look(1)
    assert "does not answer" in found.text
    monkeypatch.setattr("billow.agent.probes.vswitch.answers", refuse)
    with pytest.raises(PermissionError):
        list(probe.look(2))
