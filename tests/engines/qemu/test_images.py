# SPDX-License-Identifier: Apache-2.0
"""Disk images: self-contained ones only, one overlay for each instance, and a seed beside it."""

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import pycdlib
import pytest
from tests.engines.qemu.test_command import SMALL, TAP
from tests.engines.qemu.world import QemuStand, said, until

from billow.engines.qemu.images import BUILT_IN, LEAST_DISK_MIB, Catalogue
from billow.engines.qemu.machine import Card, Wire
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.seed import LABEL, seed
from billow.errors import Invalid, NotFound, Refused, Unavailable
from billow.model.action import Delete, Place, Stop
from billow.model.kinds import State
from billow.testing.stand import do, migrate, place

HOSTILE = (
    "",
    "..",
    "../x",
    "a/b",
    "a\0b",
    "a,b",
    "x" * 64,
    "Ä",
    "-a",
    "json:{}",
    "nbd:host:1",
    "A",
)
TALKER = bytes.fromhex("31c08ed8be1b7cac84c07406baf803eeebf5fbf4ebfc")
"""A boot sector: writes what follows it to the first serial port, then sleeps."""
WORD = b"billow disk booted\r\n\0"


def boot_sector() -> bytes:
    code = TALKER.replace(b"\xbe\x1b\x7c", b"\xbe" + (0x7C00 + len(TALKER)).to_bytes(2, "little"))
    return (code + WORD).ljust(510, b"\0") + b"\x55\xaa"


async def qemu_img(*words: str | Path, folder: Path | None = None) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("qemu-img", *words, stdout=pipe, cwd=folder)
    answer, _ = await process.communicate()
    assert process.returncode == 0
    return answer


def make_image(path: Path) -> Path:
    path.write_bytes(boot_sector().ljust(1 << 20, b"\0"))
    return path


@pytest.fixture
def catalogue(tmp_path: Path, findings: Findings) -> Catalogue:
    return Catalogue(tmp_path / "images", findings.qemu_img)


@pytest.mark.qemu
@pytest.mark.anyio
class TestCatalogue:
    """Images that are put in, refused and found."""

    async def test_a_registered_image_is_found(self, catalogue: Catalogue, tmp_path: Path) -> None:
        image = await catalogue.register("mine", make_image(tmp_path / "disk.img"))
        assert (image.form, image.virtual_mib) == ("raw", 1)
        assert await catalogue.find("mine") == image
        assert list(catalogue.names()) == [*BUILT_IN, "mine"]

    async def test_a_file_that_is_put_there_is_an_image(
        self, catalogue: Catalogue, tmp_path: Path
    ) -> None:
        (tmp_path / "images").mkdir()
        await qemu_img("create", "-q", "-f", "qcow2", tmp_path / "images/put.qcow2", "3M")
        image = await catalogue.find("put")
        assert (image.form, image.virtual_mib) == ("qcow2", 3)

    @pytest.mark.parametrize("name", HOSTILE)
    async def test_hostile_names_are_refused(
        self, catalogue: Catalogue, tmp_path: Path, name: str
    ) -> None:
        file = make_image(tmp_path / "disk.img")
        for attempt in (catalogue.find(name), catalogue.register(name, file)):
            with pytest.raises(Invalid):
                await attempt
        assert not (tmp_path / "images").exists()

    @pytest.mark.parametrize("name", [*BUILT_IN, "taken"])
    async def test_a_name_is_given_once(
        self, catalogue: Catalogue, tmp_path: Path, name: str
    ) -> None:
        file = make_image(tmp_path / "disk.img")
        if name not in BUILT_IN:
            await catalogue.register(name, file)
        with pytest.raises(Invalid):
            await catalogue.register(name, file)

    @pytest.mark.parametrize("extra", [["-b", "/etc/passwd", "-F", "raw"], ["-o", "data_file=d"]])
    async def test_an_image_that_reads_other_files_is_refused(
        self, catalogue: Catalogue, tmp_path: Path, extra: list[str]
    ) -> None:
        bad = tmp_path / "bad.qcow2"
        await qemu_img("create", "-q", "-f", "qcow2", *extra, bad, "1M", folder=tmp_path)
        with pytest.raises(Invalid) as refusal:
            await catalogue.register("bad", bad)
        assert "points at" in str(refusal.value)
        (tmp_path / "images").mkdir()
        bad.rename(tmp_path / "images/bad.qcow2")
        with pytest.raises(Invalid):
            await catalogue.find("bad")

    @pytest.mark.parametrize("path", ["nowhere.qcow2", ".", "a\0b", "x" * 5000])
    async def test_a_file_that_is_none_is_refused(self, catalogue: Catalogue, path: str) -> None:
        with pytest.raises(Invalid):
            await catalogue.register("bad", Path(path))

    async def test_a_broken_file_is_refused(self, catalogue: Catalogue, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_bytes(b"QFI\xfb" + b"\xff" * 100)
        with pytest.raises(Invalid):
            await catalogue.register("bad", broken)

    async def test_an_unknown_image_says_which_there_are(self, catalogue: Catalogue) -> None:
        with pytest.raises(NotFound) as refusal:
            await catalogue.find("unknown")
        assert "firmware, linux" in str(refusal.value)

    async def test_without_qemu_img_it_says_what_to_install(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable) as refusal:
            await Catalogue(tmp_path, "").register("x", make_image(tmp_path / "disk.img"))
        assert "qemu-utils" in refusal.value.fix


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_disk_boots_moves_and_goes_with_its_instance(
    stand: QemuStand, tmp_path: Path
) -> None:
    stand.folder.images.mkdir()
    make_image(stand.folder.images / "tiny.raw")
    engine = await stand.open()
    wanted = replace(place(stand, "x").instance, image="tiny")
    await do(engine, Place(id="p", instance=wanted, host=stand.first))
    volume = stand.folder.volume("x")
    facts = json.loads(await qemu_img("info", "-U", "--output=json", volume.disk))
    assert facts["backing-filename"] == "../../images/tiny.raw"
    assert facts["virtual-size"] == LEAST_DISK_MIB << 20
    await until(lambda: "billow disk booted" in said(volume.serial))
    await do(engine, migrate(stand, "x"))
    async with talk(stand.folder.residence(stand.second, "x").socket) as monitor:
        assert await monitor.status() == "running"
    reports = await do(engine, Stop(id="s", instance="x", host=stand.second, grace_s=0.1))
    assert reports[-1].phase == "power cut"
    assert (await engine.sense()).instance("x").state is State.STOPPED
    await do(engine, Delete(id="d", instance="x", host=stand.second))
    assert not volume.path.exists()
    assert (stand.folder.images / "tiny.raw").exists()
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
@pytest.mark.parametrize("image", ["unknown", "..", "a/b", "x;y", "nbd:host:1", "Ä"])
async def test_an_instance_of_no_image_is_refused(stand: QemuStand, image: str) -> None:
    engine = await stand.open()
    wanted = replace(place(stand, "x").instance, image=image)
    action = Place(id="p", instance=wanted, host=stand.first)
    assert await engine.blockers(action)
    with pytest.raises(Refused):
        await do(engine, action)
    assert not list(engine.ground.ledger.instances())
    await engine.aclose()


def read_seed(data: bytes) -> dict[str, str]:
    disc = pycdlib.PyCdlib()
    disc.open_fp(io.BytesIO(data))
    assert disc.pvd.volume_identifier.decode().strip() == LABEL
    found = {}
    for name in ("meta-data", "user-data", "network-config"):
        text = io.BytesIO()
        disc.get_file_from_iso_fp(text, joliet_path=f"/{name}")
        found[name] = text.getvalue().decode()
    disc.close()
    return found


def test_a_seed_says_who_the_guest_is_and_where() -> None:
    files = read_seed(seed(replace(SMALL, card=TAP)))
    meta = json.loads(files["meta-data"])
    assert meta == {"instance-id": SMALL.uuid, "local-hostname": "a"}
    network = json.loads(files["network-config"])
    assert network["ethernets"]["eth0"]["addresses"] == ["10.78.0.1/16"]
    assert files["user-data"].startswith("#cloud-config\n")


def test_a_seed_passes_user_data_on() -> None:
    card = Card(wire=Wire.USER, mac="02:00:00:00:00:01")
    files = read_seed(seed(replace(SMALL, card=card), "#!/bin/sh\necho hello\n"))
    assert files["user-data"] == "#!/bin/sh\necho hello\n"
    assert json.loads(files["network-config"])["ethernets"]["eth0"]["dhcp4"] is True
