# SPDX-License-Identifier: Apache-2.0
"""Take a new certificate for the same key, before the old one ends.

The papers lie on a disk, which may hang: a thread writes them, and the speaker looks now and then
whether it is done.
"""

import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from billow.agent.orders import Order
from billow.agent.papers import AUTHORITY, CERTIFICATE, KEY
from billow.agent.threads import begin
from billow.agent.trust import as_client
from billow.errors import BillowError

WRITTEN_S: Final = 5.0


class Renewal:
    """One renewal at a time."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._said: Order | None = None
        self._busy = False
        self._context: ssl.SSLContext | None = None

    def take(self, order: Order, waited_s: float) -> Order | None:
        """Begin to write the papers in an order; return how that ended, None before."""
        if self._said is not None:
            said, self._said = self._said, None
            return said
        if not self._busy:
            self._busy = True
            begin("papers", partial(self._write, order))
        late: Order = {"ok": False, "text": "the papers cannot be written: the disk hangs"}
        return late if waited_s > WRITTEN_S else None

    def taken(self) -> ssl.SSLContext | None:
        """Return, once, how the new papers are shown."""
        context, self._context = self._context, None
        return context

    def _write(self, order: Order) -> None:
        try:
            self._put(str(order.get("certificate", "")), str(order.get("ca", "")))
            self._context = as_client(self._state)
            self._said = {"ok": True, "text": "the papers are new"}
        except (OSError, ValueError, BillowError) as error:
            self._said = {"ok": False, "text": f"the papers cannot be taken: {error}"}
        self._busy = False

    def _put(self, certificate: str, authority: str) -> None:
        """Write both beside the old ones, see that they fit the key, and put them in place."""
        new = {CERTIFICATE: certificate, AUTHORITY: authority}
        for name, text in new.items():
            (self._state / f"{name}.new").write_text(text, encoding="ascii")
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(self._state / f"{CERTIFICATE}.new", self._state / KEY)
            context.load_verify_locations(self._state / f"{AUTHORITY}.new")
        except ssl.SSLError as error:
            for name in new:
                with suppress(OSError):
                    (self._state / f"{name}.new").unlink()
            raise ValueError(str(error)) from error
        for name in (AUTHORITY, CERTIFICATE):
            (self._state / f"{name}.new").replace(self._state / name)
