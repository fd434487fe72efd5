# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the lab's own, for three controllers; on a socket in a folder only."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from labs.ha import space
from labs.ha.space import LabError

_PROGRAMS: Final = Path("/usr/lib/postgresql")


class Database:
    """A server with its data in a folder. It does not wait for its disk: the lab never loses it."""

    def __init__(self, folder: Path) -> None:
        found = sorted(_PROGRAMS.glob("*/bin"), key=lambda each: int(each.parent.name))
        if not found:
            raise LabError("no PostgreSQL; apt-get install --no-install-recommends postgresql")
        self._programs, self._folder = found[-1], folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where controllers find it."""
        return f"postgresql://billow@/postgres?host={self._folder}"

    def start(self) -> None:
        """Make it and start it. Raises LabError."""
        self._folder.mkdir(parents=True)
        user = pwd.getpwnam("postgres")
        os.chown(self._folder, user.pw_uid, user.pw_gid)
        become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        data = str(self._folder / "data")
        how = ("-U", "billow", "-A", "trust", "-E", "UTF8", "-N", "--locale=C")
        space.run(*become, str(self._programs / "initdb"), "-D", data, *how)
        settings = ("listen_addresses=", f"unix_socket_directories={self._folder}", "fsync=off")
        words = [word for setting in settings for word in ("-c", setting)]
        log = (self._folder / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [*become, str(self._programs / "postgres"), "-D", data, *words],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        ready = (str(self._programs / "pg_isready"), "-q", "-h", str(self._folder))
        space.until(lambda: subprocess.call(ready) == 0, "PostgreSQL does not start", 30)

    def stop(self) -> None:
        """End it and remove its data; one that was never started is no error."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)
