# SPDX-License-Identifier: Apache-2.0
"""Whose a state folder is: what two engines wrote into one would be neither's."""

from pathlib import Path

from billow.errors import Invalid


def claim(folder: Path, engine: str) -> None:
    """Make a state folder, or see that it belongs to this engine. Raises Invalid."""
    mark = folder / "engine"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not mark.exists():
            mark.write_text(engine, encoding="ascii")
        owner = mark.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise Invalid(
            f"the state folder {folder} cannot be used: {error.strerror}",
            fix="name another with --state or BILLOW_STATE_DIR",
        ) from error
    if owner != engine:
        raise Invalid(
            f"the state folder {folder} belongs to a pool of the engine {owner}",
            fix=f"use --engine {owner}, or another folder with --state",
        )
