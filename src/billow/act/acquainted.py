# SPDX-License-Identifier: Apache-2.0
"""The port by which management controllers learn which machine each host is."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Acquainted(Protocol):
    """Management controllers that can be told which machine each host is."""

    async def learn(self, host: str, machine: str) -> None:
        """Keep which machine a healthy host is; what is known stays.

        Raises:
            NotFound: no management controller of it is known.
            Invalid: it is an identity that many machines share.
            Conflict: it was another machine until now, or another host is this one.
        """
