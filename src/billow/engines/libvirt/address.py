# SPDX-License-Identifier: Apache-2.0
"""Where a libvirt host is: its connection URI, as libvirt writes them, taken apart. Pure.

qemu:///system                                this machine
qemu+unix:///system?socket=/path              a socket of this machine
qemu+ssh://root@host:2222/system?keyfile=...  by the user's own ssh
qemu+tls://host/system?pkipath=/folder        TLS with certificates, port 16514
qemu+tcp://host/system                        in the clear, port 16509: for labs
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from billow.errors import Invalid
from billow.model.names import check_id

LOCAL: Final = "/var/run/libvirt/libvirt-sock"
_PORTS: Final = {"tcp": 16509, "tls": 16514, "ssh": 0, "unix": 0}
_FIX: Final = "write it as NAME=qemu+ssh://root@host/system; see the how-to run-on-libvirt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One host's libvirtd.

    Attributes:
        name: What the host is called in the pool.
        uri: As it was given.
        inner: What is asked of the libvirtd that answers: `qemu:///system`.
        transport: `unix`, `ssh`, `tls` or `tcp`.
        options: `socket`, `keyfile`, `pkipath`, `no_verify` and their like.
    """

    name: str
    uri: str
    inner: str
    transport: str
    host: str = ""
    port: int = 0
    user: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> str:
        """The path of the socket, here or over there."""
        return self.options.get("socket", LOCAL)


def addresses(given: tuple[str, ...], here: str) -> tuple[Address, ...]:
    """Return the hosts of a pool.

    Args:
        given: `NAME=URI` or `URI`; without a name it is the URI's host.
        here: What this machine is called.

    Raises:
        Invalid: one is no libvirt URI, or two have one name.
    """
    found = tuple(address_of(each, here) for each in given)
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(
            f"two libvirt hosts are called {twice[0]}", fix="give each a NAME= of its own"
        )
    if not found:
        raise Invalid(
            "the engine libvirt has no hosts",
            fix='set libvirt_uris, for example ["h1=qemu+ssh://root@h1/system"]',
        )
    return found


def address_of(given: str, here: str) -> Address:
    """Return one host. Raises Invalid."""
    name, uri = _named(given)
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"{uri!r} is no URI: {error}", fix=_FIX) from error
    driver, _, transport = parts.scheme.partition("+")
    transport = transport or ("tls" if parts.hostname else "unix")
    if driver != "qemu" or transport not in _PORTS or parts.path not in {"/system", "/session"}:
        raise Invalid(f"{uri!r} is no URI of QEMU hosts by libvirt that Billow can use", fix=_FIX)
    if transport != "unix" and not parts.hostname:
        raise Invalid(f"{uri!r} names no host", fix=_FIX)
    return Address(
        name=check_id("libvirt host", name or parts.hostname or here),
        uri=uri,
        inner=f"qemu://{parts.path}",
        transport=transport,
        host=parts.hostname or "",
        port=port or _PORTS[transport],
        user=unquote(parts.username or ""),
        options={key: values[-1] for key, values in parse_qs(parts.query).items()},
    )


def _named(given: str) -> tuple[str, str]:
    before, equals, after = given.partition("=")
    return (before, after) if equals and ":" not in before else ("", given)
