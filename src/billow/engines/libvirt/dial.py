# SPDX-License-Identifier: Apache-2.0
"""Reach a libvirtd: by a socket of this machine, by ssh, by TLS, or in the clear."""

import asyncio
import shlex
import ssl
from pathlib import Path
from typing import Final

from billow.engines.libvirt.address import Address
from billow.engines.libvirt.line import Pipe
from billow.errors import Unavailable

PATIENCE_S: Final = 10.0
_PKI: Final = Path("/etc/pki")
_FAR_SIDE: Final = (
    "if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper {uri}; "
    "else exec nc -U {socket}; fi"
)
"""What libvirt's own client runs over there: its helper, or netcat where that is not."""
_LIMIT: Final = 2**20


async def dial(address: Address) -> Pipe:
    """Open a pipe to a host's libvirtd. Raises Unavailable."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            match address.transport:
                case "unix":
                    return Pipe(*await asyncio.open_unix_connection(address.socket, limit=_LIMIT))
                case "tcp":
                    return Pipe(*await asyncio.open_connection(address.host, address.port))
                case "tls":
                    return await _by_tls(address)
                case _:
                    return await _by_ssh(address)
    except (OSError, TimeoutError, EOFError) as error:
        raise Unavailable(
            f"libvirt on {address.name} cannot be reached",
            details=(f"{address.uri}: {str(error) or 'no answer'}",),
            fix=_fix(address),
        ) from error


def _fix(address: Address) -> str:
    return {
        "unix": "is libvirtd running, and may this user open its socket? try: virsh -c "
        f"{address.inner} list",
        "ssh": f"try: ssh -o BatchMode=yes {address.host} true; it must work without a password",
        "tls": "look at libvirtd's listen_tls, and at the certificates on both sides",
    }.get(address.transport, "look at libvirtd's listen_tcp and at the network")


async def _by_tls(address: Address) -> Pipe:
    """Shake hands; libvirtd then says with one byte that it takes our certificate."""
    given = address.options.get("pkipath")
    own = Path(given) if given else _PKI / "libvirt"
    authority = own / "cacert.pem" if given else _PKI / "CA" / "cacert.pem"
    key = own / "clientkey.pem" if given else own / "private" / "clientkey.pem"
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(str(own / "clientcert.pem"), str(key))
    if address.options.get("no_verify") == "1":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    if await reader.readexactly(1) != b"\1":
        writer.close()
        raise OSError("it does not take our certificate")
    return Pipe(reader, writer)


async def _by_ssh(address: Address) -> Pipe:
    """Let the user's own ssh carry it, with the user's own settings and keys."""
    options = address.options
    far = _FAR_SIDE.format(uri=shlex.quote(address.inner), socket=shlex.quote(address.socket))
    command = ["ssh", "-T", "-e", "none", "-o", "BatchMode=yes"]
    command += ["-p", str(address.port)] if address.port else []
    command += ["-l", address.user] if address.user else []
    command += ["-i", options["keyfile"]] if "keyfile" in options else []
    command += ["-o", "StrictHostKeyChecking=no"] if options.get("no_verify") == "1" else []
    carrier = await asyncio.create_subprocess_exec(
        *command,
        *("--", address.host, far),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LIMIT,
    )
    if carrier.stdin is None or carrier.stdout is None:
        raise OSError("ssh did not start")
    return Pipe(carrier.stdout, carrier.stdin, carrier)
