# SPDX-License-Identifier: Apache-2.0
"""Redfish read by a second library, over TLS, sessions and proxies."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sushy  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from labs.ha.bmc import Emulator
from labs.ha.bmc.emulator import PASSWORD, USER
from labs.ha.bmc.hop import serve
from sushy.auth import BasicAuth  # type: ignore[import-untyped]

from billow.act.clock import SystemClock
from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.records import Identities
from billow.engines.redfish.line import RedfishLine
from billow.errors import Unavailable
from billow.model.kinds import Power

pytestmark = [pytest.mark.bmc, pytest.mark.anyio]
UUID = "4c4c4544-0042-3610-8051-b4c04f564231"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a controller's own certificate and key, as they come from the factory."""
    folder = tmp_path_factory.mktemp("papers")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "some-bmc")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = made.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "crt").write_bytes(certificate.public_bytes(pem))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(key.private_bytes(pem, *plain))
    return str(folder / "crt"), str(folder / "key")


@pytest.fixture(scope="module")
def plain() -> Iterator[Emulator]:
    with Emulator("redfish", uuid=UUID) as found:
        yield found


@pytest.fixture(scope="module")
def secure(papers: tuple[str, str]) -> Iterator[Emulator]:
    with Emulator("redfish", uuid=UUID, tls=papers) as found:
        yield found


def opened(emulator: Emulator, folder: Path, **more: object) -> Controllers:
    known = Controller.model_validate(emulator.entry("h1", answer_s=3.0, off_s=8.0, **more))
    return Controllers([known], RedfishLine, Identities(folder), SystemClock())


async def test_another_library_reads_the_same(plain: Emulator, tmp_path: Path) -> None:
    def read() -> tuple[str, str, str]:
        found = sushy.Sushy(plain.address, auth=BasicAuth(USER, PASSWORD)).get_system()
        return found.power_state.value, found.uuid, found.boot.target.value

    bmc = opened(plain, tmp_path)
    await bmc.on("h1")
    assert await asyncio.to_thread(read) == ("On", await bmc.identity("h1"), "None")
    await bmc.off("h1")
    assert await asyncio.to_thread(read) == ("Off", UUID, "BiosSetup")
    await bmc.on("h1")
    await bmc.aclose()


async def test_a_service_that_wants_sessions_gets_one_and_gets_it_back(
    plain: Emulator, tmp_path: Path
) -> None:
    plain.set(basic=False, sessions=8)
    for _ in range(10):
        bmc = opened(plain, tmp_path)
        assert await bmc.power("h1") is Power.ON
        await bmc.aclose()
    plain.set()


async def test_a_certificate_of_its_own_is_trusted_when_it_is_named(
    secure: Emulator, papers: tuple[str, str], tmp_path: Path
) -> None:
    bmc = opened(secure, tmp_path, ca_file=papers[0], check_name=False)
    assert await bmc.power("h1") is Power.ON
    await bmc.aclose()
    for less in ({}, {"ca_file": papers[0]}):
        bmc = opened(secure, tmp_path, **less)
        with pytest.raises(Unavailable, match="cannot be reached") as error:
            await bmc.power("h1")
        assert "certificate" in str(error.value).lower()
        await bmc.aclose()


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_a_hop_is_a_path(
    secure: Emulator, papers: tuple[str, str], tmp_path: Path, scheme: str
) -> None:
    hop = await serve("127.0.0.1", 0)
    port = hop.sockets[0].getsockname()[1]
    path = f"{scheme}://127.0.0.1:{port}"
    bmc = opened(
        secure,
        tmp_path,
        ca_file=papers[0],
        check_name=False,
        proxies=["socks5://127.0.0.1:9", path],
    )
    assert f"over {path}" in await bmc.off("h1")
    assert secure.power == "off"
    await bmc.on("h1")
    await bmc.aclose()
    hop.close()
    await hop.wait_closed()
