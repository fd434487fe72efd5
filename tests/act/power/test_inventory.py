# SPDX-License-Identifier: Apache-2.0
"""The file of management controllers, and what identifies a machine."""

from pathlib import Path
from uuid import UUID

import pytest

from billow.act.power.identity import check_identity, is_identity, same_machine
from billow.act.power.inventory import read_controllers
from billow.errors import Invalid, NotFound, Refused

WHO = "4c4c4544-0042-3610-8051-b4c04f564231"
GOOD = """
[defaults]
user = "billow"
secret_file = "bmc.secret"
proxies = ["direct", "ssh://root@h7:2222"]

[[bmc]]
host = "h1"
kind = "ipmi"
address = "10.0.9.1"
uuid = "4c4c4544-0042-3610-8051-b4c04f564231"

[[bmc]]
host = "h2"
kind = "redfish"
address = "https://10.0.9.2"
proxies = ["socks5://10.0.0.7:1080", "http://10.0.0.8:3128"]
ca_file = "ca.pem"
"""


def read(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with a file."""
    (tmp_path / "bmc.toml").write_text(text)
    with pytest.raises(Invalid) as error:
        read_controllers(tmp_path / "bmc.toml")
    return [error.value.brief, *error.value.details]


def test_defaults_hold_and_files_are_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "bmc.toml").write_text(GOOD)
    first, second = read_controllers(tmp_path / "bmc.toml")
    assert (first.user, second.user) == ("billow", "billow")
    assert first.secret_file == tmp_path / "bmc.secret"
    assert second.ca_file == tmp_path / "ca.pem"
    assert first.proxies == ("direct", "ssh://root@h7:2222")
    assert second.proxies[0] == "socks5://10.0.0.7:1080"


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('kind = "ipmi"', 'kind = "ilo"', "kind"),
        ('address = "10.0.9.1"', 'address = "https://10.0.9.1"', "HOST or HOST:PORT"),
        ('address = "https://10.0.9.2"', 'address = "10.0.9.2"', "http:// or https:// URL"),
        ('"socks5://10.0.0.7:1080"', '"ssh://h7"', "no path for redfish"),
        ('"ssh://root@h7:2222"', '"http://h7"', "no path for ipmi"),
        ('host = "h2"', 'host = "h1"\nat_once = 0', "at_once"),
        ('user = "billow"', 'usr = "billow"', "usr"),
        ('host = "h1"', 'host = "h 1"', "not a valid id"),
    ],
)
def test_what_is_wrong_is_told_with_its_entry(
    tmp_path: Path, was: str, becomes: str, told: str
) -> None:
    assert was in GOOD
    lines = read(tmp_path, GOOD.replace(was, becomes))
    assert lines[0] == "bmc.toml cannot be used"
    assert any(line.startswith("bmc ") and told in line for line in lines[1:])


def test_one_controller_is_one_hosts(tmp_path: Path) -> None:
    doubled = (
        GOOD
        + GOOD.partition("[[bmc]]")[2].join(["[[bmc]]", ""]).partition('[[bmc]]\nhost = "h2"')[0]
    )
    lines = read(tmp_path, doubled)
    assert any("host and kind h1 ipmi is given twice" in line for line in lines)
    shared = (
        GOOD.replace('kind = "redfish"', 'kind = "ipmi"')
        .replace('address = "https://10.0.9.2"', f'address = "10.0.9.1"\nuuid = "{WHO.upper()}"')
        .replace('proxies = ["socks5://10.0.0.7:1080", "http://10.0.0.8:3128"]\n', "")
    )
    lines = read(tmp_path, shared)
    assert any("address 10.0.9.1 is given twice" in line for line in lines)
    assert any("uuid" in line and "given twice" in line for line in lines)


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        read_controllers(tmp_path / "bmc.toml")
    assert "is no TOML" in read(tmp_path, "[[bmc")[0]
    assert "something else" in read(tmp_path, "[[controller]]\nhost = 'h1'")[0]


def test_a_secret_is_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "bmc.toml").write_text(GOOD)
    first = read_controllers(tmp_path / "bmc.toml")[0]
    with pytest.raises(NotFound, match="cannot be read"):
        first.secret()
    secret = tmp_path / "bmc.secret"
    secret.write_text("hidden\n")
    secret.chmod(0o644)
    with pytest.raises(Invalid, match="can be read by others"):
        first.secret()
    secret.chmod(0o600)
    assert first.secret() == "hidden"
    secret.write_text("\n")
    with pytest.raises(Invalid, match="one password"):
        first.secret()


def test_the_order_of_bytes_does_not_make_another_machine() -> None:
    value = UUID(WHO)
    for shown in (WHO, WHO.upper(), value.hex, str(UUID(bytes=value.bytes_le))):
        assert same_machine(WHO, shown)
        check_identity("h1", WHO, ("SN-1", shown))
    assert not same_machine(WHO, WHO[:-1] + "2")
    assert same_machine(" sn-77 ", "SN-77")


@pytest.mark.parametrize(
    "shared",
    [
        "",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "To be filled by O.E.M.",
    ],
)
def test_what_many_machines_share_identifies_none(shared: str) -> None:
    assert not is_identity(shared)
    with pytest.raises(Refused):
        check_identity("h1", shared, (shared,))
