# SPDX-License-Identifier: Apache-2.0
"""What an engine must provide, beside `billow.ports`, whose own records know of hosts' deaths."""

from typing import Final, Protocol, runtime_checkable

NOT_CLEANED: Final = "not-cleaned"
"""The code of a host that has still to clear up what went elsewhere while it was dead."""


@runtime_checkable
class Registrar(Protocol):
    """An engine whose own records of hosts must be told when one is dead, and when it is back.

    Nova gives no guest of a host another home that it believes to live, whatever proof there is.
    """

    async def mark_dead(self, host: str, why: str) -> None:
        """Let a host count as dead; it must be proved. A host that is marked stays so.

        Raises:
            NotFound: there is no such host here.
            Unavailable: the engine did not answer.
        """

    async def mark_alive(self, host: str) -> None:
        """Let a host count again; one that counts is left as it is.

        Raises:
            NotFound: there is no such host here.
            Refused: it has not cleared up yet what went elsewhere (code `not-cleaned`).
            Unavailable: the engine did not answer.
        """
