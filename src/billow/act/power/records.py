# SPDX-License-Identifier: Apache-2.0
"""Which machine each host is, as it was recorded while the host was healthy.

An operator's word (`uuid` in `bmc.toml`) counts before what an agent told. What was recorded once
is not replaced by something else without being told so: that a host became another machine is news.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from billow.act.durable import locked, make_folder, write
from billow.act.power.identity import is_identity, same_machine
from billow.errors import Conflict, Invalid, Unavailable

_FILE: Final = "identities.json"
_LOCK: Final = "identities.lock"


class Identities:
    """Identities by host, in a file of the state folder."""

    def __init__(self, folder: Path) -> None:
        self._path = make_folder(folder) / _FILE

    def recorded(self, host: str) -> str:
        """Return what an agent told of a host; empty when nothing. Does I/O. Raises Unavailable."""
        return self.all().get(host, "")

    async def record(self, host: str, identity: str, *, replace: bool = False) -> None:
        """Record which machine a healthy host is. Does I/O.

        Raises:
            Invalid: it is an identity that many machines share.
            Conflict: it was recorded otherwise, and nobody said to replace that.
        """
        if not is_identity(identity):
            raise Invalid(
                f"{host} shows {identity or 'no identity'}, as many machines do",
                fix="write its serial number as `uuid` into bmc.toml",
            )
        await asyncio.to_thread(self._record, host, identity, replace=replace)

    def _record(self, host: str, identity: str, *, replace: bool) -> None:
        """Add to what is there now: controllers that share the folder record at the same time."""
        try:
            with locked(self._path.with_name(_LOCK)):
                found = self._with(host, identity, replace=replace)
                write(self._path, json.dumps(found, indent=1, sort_keys=True).encode())
        except OSError as error:
            why = (f"{self._path}: {error.strerror or error}",)
            raise Unavailable("the identities of hosts cannot be written", why) from error

    def _with(self, host: str, identity: str, *, replace: bool) -> dict[str, str]:
        """Return all identities and one more. Raises Conflict."""
        known = self.all()
        before = known.get(host, identity)
        if not same_machine(before, identity) and not replace:
            raise Conflict(
                f"{host} was another machine until now",
                (f"recorded: {before}", f"told: {identity}"),
                "if the machine was exchanged, record it anew",
            )
        return {**known, host: identity}

    def all(self) -> Mapping[str, str]:
        """Return what agents told, by host. Does I/O. Raises Unavailable."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable(
                "the identities of hosts cannot be read",
                (str(self._path),),
                "remove the file; agents tell them again",
            )
        return {str(host): str(each) for host, each in found.items()}
