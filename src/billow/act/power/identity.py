# SPDX-License-Identifier: Apache-2.0
"""Whether two ways of writing a machine's identity mean one machine.

A system UUID reaches us from SMBIOS, Redfish and IPMI, and firmware disagrees on the order of its
bytes; a serial number is compared as text. Firmware that was never given an identity shows one that
thousands of machines share: such a one proves nothing.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from billow.errors import Refused

WRONG_HOST: Final = "wrong-host"
"""The code of an answer that came from another machine than the one that was asked for."""
_SHARED: Final = frozenset(
    {
        UUID(int=0),
        UUID(int=2**128 - 1),
        UUID("03000200-0400-0500-0006-000700080009"),
        UUID("12345678-1234-5678-90ab-cddeefaabbcc"),
    }
)
_NO_SERIALS: Final = frozenset(
    {"", "none", "n/a", "default string", "to be filled by o.e.m.", "not specified", "0"}
)


def is_identity(text: str) -> bool:
    """Return whether a UUID or serial number can tell one machine from another."""
    found = _uuid(text)
    if found is None:
        return text.strip().lower() not in _NO_SERIALS
    return not _orders(found) & _SHARED


def same_machine(recorded: str, read: str) -> bool:
    """Return whether what is read now is what was recorded, in any order of a UUID's bytes."""
    first, second = _uuid(recorded), _uuid(read)
    if first is None or second is None:
        return recorded.strip().lower() == read.strip().lower()
    return second in _orders(first)


def check_identity(host: str, recorded: str, read: Sequence[str]) -> None:
    """Refuse an answer that is not proved to be this host's. Raises Refused (`wrong-host`)."""
    shown = " and ".join(read) or "no identity"
    if not recorded:
        raise Refused(
            f"nobody has recorded which machine {host} is, so its power proves nothing",
            (f"its management controller reads {shown}",),
            "write its uuid into bmc.toml, or let its agent tell it",
            WRONG_HOST,
        )
    telling = filter(is_identity, read) if is_identity(recorded) else ()
    if not any(same_machine(recorded, each) for each in telling):
        raise Refused(
            f"the management controller given for {host} is another machine's",
            (f"recorded: {recorded}", f"read: {shown}"),
            "correct its address in bmc.toml; do not believe its power until then",
            WRONG_HOST,
        )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _orders(value: UUID) -> frozenset[UUID]:
    """Return one UUID in each order in which firmware writes its bytes."""
    swapped = UUID(bytes=value.bytes_le)
    return frozenset(
        {value, swapped, UUID(bytes=value.bytes[::-1]), UUID(bytes=swapped.bytes[::-1])}
    )
