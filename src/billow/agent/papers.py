# SPDX-License-Identifier: Apache-2.0
"""Which files an enrolled host has; apart from what reads them, which is heavy to import."""

from pathlib import Path
from typing import Final

from billow.errors import NotFound

KEY: Final = "agent.key"
CERTIFICATE: Final = "agent.crt"
AUTHORITY: Final = "ca.crt"


def see(state: Path) -> None:
    """Look whether the papers are there. Raises NotFound while the host is not enrolled."""
    missing = [each for each in (KEY, CERTIFICATE, AUTHORITY) if not (state / each).exists()]
    if missing:
        raise NotFound(
            "this host is not enrolled",
            tuple(f"{state / each} is missing" for each in missing),
            fix="run `billow agent enrol URL TOKEN`",
        )
