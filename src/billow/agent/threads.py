# SPDX-License-Identifier: Apache-2.0
"""Threads that may hang: small, named so that `top -H` says which one does, not waited for."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

STACK: Final = 256 * 1024
_MOST: Final = 15


def begin(name: str, function: Callable[[], None]) -> threading.Thread:
    """Run a function in a thread of its own and return it at once."""

    def run() -> None:
        with suppress(OSError):
            task = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
            task.write_text(name[:_MOST], encoding="utf-8")
        function()

    threading.stack_size(STACK)
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
