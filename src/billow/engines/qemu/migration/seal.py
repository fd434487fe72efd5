# SPDX-License-Identifier: Apache-2.0
"""Encrypt what goes from one QEMU process to another, and let only the right one send.

Each end shows its host's certificate and checks the other's: the target lets nobody in but the
host that the move comes from, the source sends to nobody but the host that it leads to. The objects
for it live in the processes and have names of their own; what an earlier move left is replaced.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.act.clock import SystemClock
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.monitor import Monitor
from billow.engines.qemu.process import last_words
from billow.errors import Refused

_CREDENTIALS: Final = "billow-tls"
_GUARD: Final = "billow-tls-guard"
_OBJECTS: Final = (_CREDENTIALS, _GUARD)
_UNABLE: Final = "no-tls"
_DISTRUSTED: Final = "tls-failed"
_LACKS: Final = "GNUTLS"
_SPEAKS: Final = re.compile(r"\bTLS\b|certificate|authz|x509", re.IGNORECASE)
_BROKEN: Final = re.compile(
    r"(read from|write to) TLS channel|non-properly terminated", re.IGNORECASE
)
_OFF: Final = {"tls-creds": "", "tls-hostname": "", "tls-authz": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What encrypts a move; all empty when it goes in the clear.

    Whatever else flows between the two processes (NBD) uses the same objects.

    Attributes:
        credentials: Id of the `tls-creds-x509` in both processes, a server's in the target.
        guard: Id of the `authz` object in the target: who may send.
        name: What the target's certificate must say.
    """

    credentials: str = ""
    guard: str = ""
    name: str = ""

    def __bool__(self) -> bool:
        """Return whether anything is encrypted."""
        return bool(self.credentials)


PLAIN: Final = Seal()


async def seal(ground: Ground, order: Order, source: Monitor, target: Monitor) -> Seal:
    """Make both ends ready to encrypt, or not, as the pool's terms say.

    Without namespaces, both ends are joined by a pipe that nobody else can reach: it goes in the
    clear.

    Raises:
        Refused: it shall be encrypted, and an end cannot.
        Unavailable: the certificates cannot be written.
        Lost: an end does not answer.
    """
    for end in (source, target):
        await unseal(end)
    if not (ground.terms.encrypted and ground.network.namespaces):
        return PLAIN
    await _add_credentials(target, await _papers(ground, order.target), "server")
    guard = {"qom-type": "authz-simple", "id": _GUARD, "identity": f"CN={order.source}"}
    await target.execute("object-add", guard)
    await _add_credentials(source, await _papers(ground, order.source), "client")
    shared = {"tls-creds": _CREDENTIALS}
    await target.execute("migrate-set-parameters", {**shared, "tls-authz": _GUARD})
    await source.execute("migrate-set-parameters", {**shared, "tls-hostname": order.target})
    return Seal(credentials=_CREDENTIALS, guard=_GUARD, name=order.target)


async def unseal(end: Monitor) -> None:
    """Let an end forget what it encrypted with. Repeatable. Raises Refused, Lost."""
    await end.execute("migrate-set-parameters", dict(_OFF))
    for name in _OBJECTS:
        with contextlib.suppress(Refused):  # there is none
            await end.execute("object-del", {"id": name})


async def _papers(ground: Ground, host: str) -> Path:
    from billow.engines.qemu.pki import Papers  # slow to import, and only moves need it

    folder = ground.ledger.folder
    papers = Papers(folder.pki, ground.network.tag)
    address = ground.network.address(host)
    return await asyncio.to_thread(papers.of, host, address, SystemClock().now())


async def _add_credentials(end: Monitor, papers: Path, side: str) -> None:
    """Give an end its host's papers. Raises Refused with what to do when it cannot use them."""
    wanted = {
        "qom-type": "tls-creds-x509",
        "id": _CREDENTIALS,
        "dir": str(papers),
        "endpoint": side,
        "verify-peer": True,
    }
    try:
        await end.execute("object-add", wanted)
    except Refused as error:
        lacks = any(_LACKS in line.upper() for line in error.details)
        raise _unable(error.details) if lacks else _distrusted(error.details) from error


def standing(ground: Ground) -> str:
    """Return in words how it stands with encryption."""
    if not ground.network.namespaces:
        return "in the clear, through a pipe of this machine that nobody else reaches"
    if not ground.terms.encrypted:
        return "in the clear: migration_tls is false"
    if not ground.findings.tls:
        return "refused: they are to be encrypted, and this QEMU cannot"
    return "encrypted with TLS 1.3, certificates of the pool's own"


@contextlib.contextmanager
def explaining(target: Residence) -> Iterator[None]:
    """Tell of a move that failed by its encryption that it did, with what the target said."""
    try:
        yield
    except Refused as error:
        heard = list(filter(_speaks, last_words(target)))
        if error.code != "move-failed" or not (heard or any(map(_speaks, error.details))):
            raise
        raise _distrusted((*error.details, *heard)) from error


def _speaks(line: str) -> bool:
    """Return whether a line tells of refused papers, and not of a connection that broke."""
    return bool(_SPEAKS.search(line)) and not _BROKEN.search(line)


def _unable(details: tuple[str, ...]) -> Refused:
    return Refused(
        "the move cannot be encrypted: this QEMU was built without TLS",
        details=details,
        fix="use a QEMU that was built with GnuTLS, as Debian's is; or, where nobody else is on the"
        " network between the hosts, set migration_tls = false",
        code=_UNABLE,
    )


def _distrusted(details: tuple[str, ...]) -> Refused:
    return Refused(
        "the two hosts do not accept each other's certificates",
        details=details,
        fix="see that their clocks agree; if the folder pki of the pool was changed by hand, remove"
        " it, and the next move makes new certificates",
        code=_DISTRUSTED,
    )
