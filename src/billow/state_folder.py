# SPDX-License-Identifier: Apache-2.0
"""Where state lies unless told; apart from the settings, so that a client need not load them.

It must import nothing that is slow to import.
"""

import os
from pathlib import Path


def default_state_dir() -> Path:
    """Return where state is kept unless told: `/var/lib/billow` for root, else below the home."""
    if os.geteuid() == 0:
        return Path("/var/lib/billow")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "billow"
