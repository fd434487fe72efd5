# SPDX-License-Identifier: Apache-2.0
"""Be the init of a lab host: start a program, and bury at once what it and its guests leave.

libvirtd waits until the process of a guest that it ended is gone; where process 1 buries slowly, as
in many containers, each end of a guest takes seconds. Run as `keeper.py PROGRAM ARGUMENT...`.
"""

import contextlib
import ctypes
import os
import subprocess
import sys

SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


def main() -> None:
    """Start the program and bury the dead until nobody is left."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    subprocess.Popen(sys.argv[1:])
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
