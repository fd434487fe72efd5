# SPDX-License-Identifier: Apache-2.0
"""What the agent says to whoever reads its journal: one line on stderr."""

import sys


def say(text: object) -> None:
    """Say it."""
    sys.stderr.write(f"billow agent: {text}\n")
    sys.stderr.flush()
