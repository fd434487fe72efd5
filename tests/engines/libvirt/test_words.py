# SPDX-License-Identifier: Apache-2.0
"""What needs no libvirt: URIs, XDR, and the two ways between XML and the model."""

import asyncio
import contextlib
import struct
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.libvirt.address import address_of, addresses
from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.line import Fault, Line, Pipe
from billow.engines.libvirt.machine import NAMESPACE, Description, Machine, Stage
from billow.engines.libvirt.records import HostRecord
from billow.engines.libvirt.translate import (
    cpus_of,
    definition,
    element_of,
    host_record,
    instance_of,
    machine_of,
    name_of,
    parsed,
    resized,
    state_of,
)
from billow.engines.libvirt.words import DomainState
from billow.engines.libvirt.xdr import Reader, Value, Writer
from billow.errors import Invalid, Lost, Refused, Unavailable
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Kind, MigrationPolicy, Rule, Service, State
from billow.model.shape import Shape

UUID = "6a0e7a4e-6d3d-4d5e-9a3c-2f6b1a2c3d4e"
SHAPE = Shape("small", 1500, 512)
CAPABILITIES = """\
<capabilities><host><cpu><arch>x86_64</arch></cpu><topology><cells num='2'>
  <cell id='0'><memory unit='KiB'>8388608</memory><cpus num='2'>
    <cpu id='0' socket_id='0'/><cpu id='1' socket_id='0'/></cpus></cell>
  <cell id='1'><memory unit='KiB'>4194304</memory><cpus num='1'>
    <cpu id='2' socket_id='1'/></cpus></cell>
</cells></topology></host>
<guest><os_type>hvm</os_type><arch name='x86_64'><domain type='qemu'/><domain type='kvm'/></arch>
</guest></capabilities>"""


@pytest.mark.parametrize(
    ("given_uri", "name", "transport", "host", "port"),
    [
        ("qemu:///system", "here", "unix", "", 0),
        ("h1=qemu:///system", "h1", "unix", "", 0),
        ("qemu+unix:///system?socket=/run/a=b", "here", "unix", "", 0),
        ("qemu+ssh://root@far:2222/system?keyfile=/k", "far", "ssh", "far", 2222),
        ("h2=qemu+ssh://far/system", "h2", "ssh", "far", 0),
        ("qemu://far/system", "far", "tls", "far", 16514),
        ("qemu+tcp://10.0.0.7/system", "10.0.0.7", "tcp", "10.0.0.7", 16509),
    ],
)
def test_uris(given_uri: str, name: str, transport: str, host: str, port: int) -> None:
    found = address_of(given_uri, "here")
    assert (found.name, found.transport, found.host, found.port) == (name, transport, host, port)
    assert found.inner == "qemu:///system"


@pytest.mark.parametrize(
    "given_uri",
    [
        *("", "h1=", "xen:///system", "qemu+telnet://a/system", "qemu+ssh:///system"),
        *("qemu:///other", "qemu+tcp://a:port/system", "a b=qemu:///system"),
    ],
)
def test_what_is_no_uri(given_uri: str) -> None:
    with pytest.raises(Invalid) as wrong:
        address_of(given_uri, "here")
    assert wrong.value.fix


def test_hosts_have_names_of_their_own() -> None:
    with pytest.raises(Invalid, match="two libvirt hosts are called far"):
        addresses(("qemu+ssh://far/system", "qemu+tcp://far/system"), "here")
    with pytest.raises(Invalid, match="no hosts"):
        addresses((), "here")


VALUES = st.one_of(
    st.booleans(), st.integers(0, 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=20)
)


@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=5), st.binary(max_size=9))
def test_xdr_there_and_back(named: dict[str, Value], data: bytes) -> None:
    body = Writer().parameters(named).opaque(data).sint(-7).maybe(None).maybe("x").uhyper(2**63)
    answer = Reader(body.data)
    assert answer.parameters() == named
    assert answer.opaque() == data
    assert (answer.sint(), answer.maybe(), answer.maybe()) == (-7, None, "x")
    assert answer.uhyper() == 2**63


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(Reader(data).parameters(), dict)


def test_capabilities() -> None:
    known = HostRecord(cordon="disk", cpu_ratio=2.0)
    found = host_record(CAPABILITIES, 12_582_912, known)
    assert (found.cordon, found.cpu_ratio, found.kvm, found.sockets) == ("disk", 2.0, True, 2)
    assert [(node.cpu_milli, node.memory_mib) for node in found.nodes] == [
        (2000, 8192 - 512),
        (1000, 4096 - 512),
    ]


def described(**fields: object) -> Description:
    wanted = Instance("x", SHAPE, **fields)  # type: ignore[arg-type]  # as the test says
    return Description(
        instance=wanted, group=Group("web", Rule.ANTI_AFFINITY), stage=Stage.READY, volumes=("v",)
    )


def machine(description: Description | None) -> Machine:
    return Machine(
        name="x",
        uuid=UUID,
        vcpus=2,
        memory_mib=512,
        kvm=True,
        description=description,
        disks=("/pool/<&>.qcow2",),
        ring=True,
    )


def test_a_machine_there_and_back() -> None:
    made = machine(
        described(
            kind=Kind.VM,
            tenant="acme",
            priority=-3,
            migration=MigrationPolicy.POST_COPY,
            service=Service.BATCH,
            immovable='it\'s <"pinned">',
        )
    )
    read = machine_of(definition(made, network="bridge:br0"))
    assert replace(read, fixed="") == made
    there = instance_of(read, "x", "h1", State.RUNNING)
    assert made.description is not None
    assert replace(there, host="", state=State.REQUESTED) == made.description.instance


@pytest.mark.parametrize("amd", [False, True])
def test_amds_cpus_are_given_without_intels_word_on_its_faults(*, amd: bool) -> None:
    made = replace(machine(described()), kvm=True, amd=amd)
    taken = parsed(definition(made)).findall("cpu[@mode='host-model']/feature[@policy='disable']")
    assert [each.get("name") for each in taken] == (["arch-capabilities"] if amd else [])


def test_an_element_is_read_as_it_was_written() -> None:
    made = described(tenant="acme")
    xml = parsed(element_of(made))
    whole = parsed(f"<domain><metadata><b:instance xmlns:b='{NAMESPACE}'/></metadata></domain>")
    whole[0][0].text = xml.text
    assert machine_of(ET.tostring(whole, encoding="unicode")).description == made


def test_what_a_machine_has_wins_over_what_was_written_down() -> None:
    larger = replace(machine(described()), memory_mib=1024)
    assert instance_of(larger, "x", "h1", State.RUNNING).shape == Shape(
        "libvirt-2x1024", 2000, 1024
    )


def test_a_resize_changes_shape_and_description() -> None:
    xml, new = definition(machine(described())), Shape("large", 3000, 2048)
    bigger = replace(described(), instance=Instance("x", new))
    found = machine_of(resized(xml, new, bigger))
    assert (found.vcpus, found.memory_mib, found.description) == (cpus_of(new), 2048, bigger)


def test_a_passed_through_device_fixes_a_machine() -> None:
    xml = "<domain type='kvm'><name>a</name><devices><hostdev/></devices></domain>"
    assert "passed through" in machine_of(xml).fixed
    with pytest.raises(Refused):
        machine_of("<domain")


def test_names() -> None:
    plain = machine(None)
    assert name_of(plain, {}) == "x"
    assert name_of(plain, {"x": UUID}) == "x"
    assert name_of(plain, {"x": "another"}) == UUID
    assert name_of(replace(plain, name="two words"), {}) == UUID


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (DomainState.RUNNING, 1, State.RUNNING),
        (DomainState.PAUSED, 1, State.PAUSED),
        (DomainState.PAUSED, 2, State.RUNNING),
        (DomainState.PAUSED, 5, State.FAILED),
        (DomainState.SHUTOFF, 1, State.STOPPED),
        (DomainState.SHUTOFF, 3, State.FAILED),
        (DomainState.CRASHED, 0, State.FAILED),
    ],
)
def test_states(state: DomainState, reason: int, word: State) -> None:
    assert state_of(state, reason) is word


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _line(said: bytes) -> tuple[Line, asyncio.Server]:
    """Return a line to a daemon that answers anything with some bytes and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return Line(Pipe(*await asyncio.open_connection("127.0.0.1", port)), "h1"), server


def message(kind: int, status: int, body: bytes) -> bytes:
    head = struct.pack(">IIiiIi", 0x20008086, 1, 6, kind, 1, status)
    return struct.pack(">I", 4 + len(head) + len(body)) + head + body


@pytest.mark.anyio
async def test_an_answer_and_a_fault() -> None:
    wrong = Writer().sint(42).sint(10).maybe("Domain not found").data
    for said, code in (
        (message(1, 0, Writer().text("fine").data), ""),
        (message(1, 1, wrong), "x"),
    ):
        line, server = await _line(said)
        if code:
            with pytest.raises(Fault, match="Domain not found") as fault:
                await line.call(6, limit_s=5)
            assert fault.value.number == 42
        else:
            assert (await line.call(6, limit_s=5)).text() == "fine"
        await line.close()
        server.close()


@pytest.mark.anyio
@pytest.mark.parametrize("said", [b"", b"\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_breaks_is_lost_and_then_unavailable(said: bytes) -> None:
    line, server = await _line(said)
    with pytest.raises(Lost):
        await line.call(6, limit_s=5)
    with pytest.raises(Unavailable):
        await line.call(6, limit_s=5)
    await line.close()
    server.close()


@pytest.mark.anyio
async def test_a_host_that_is_not_there_says_what_to_try() -> None:
    fleet = Fleet(addresses(("qemu+tcp://127.0.0.1:1/system",), "here"), "")
    with pytest.raises(Unavailable) as away:
        await fleet.api("127.0.0.1")
    assert "listen_tcp" in away.value.fix
    await fleet.close()
