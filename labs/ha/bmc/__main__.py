# SPDX-License-Identifier: Apache-2.0
"""One emulated controller as a process: `python -m labs.ha.bmc --kind ipmi --port 6230 ...`.

It is steered by lines of JSON on stdin (`{"faults": {...}}`, `{"become": "off"}`,
`{"renew": true}`, `{"ping": true}`) and tells what happens on stdout. With `--turn COMMAND`, power
runs `COMMAND on` or `COMMAND off`; without, it says `{"turn": "off"}` and waits for
`{"done": true}`. It ends with its stdin, unless `--stay`.
"""

import argparse
import json
import os
import queue
import shlex
import subprocess
import sys
import threading
from typing import Any

from labs.ha.bmc.machine import Machine

_TURN_S = 60.0


class _Talk:
    """The two ends of the conversation with who started this process."""

    def __init__(self, command: str, *, stays: bool) -> None:
        self._command = shlex.split(command)
        self._stays = stays
        self._done: queue.Queue[bool] = queue.Queue()
        self._lock = threading.Lock()

    def tell(self, **what: object) -> None:
        """Say what happened."""
        with self._lock:
            print(json.dumps(what), flush=True)

    def turn(self, power: str) -> None:
        """Do to the host what power does."""
        if self._command:
            subprocess.run([*self._command, power], check=False, stdout=sys.stderr)
        elif not self._stays:
            self.tell(turn=power)
            self._done.get(timeout=_TURN_S)

    def listen(self, machine: Machine) -> None:
        """Do what is asked on stdin until that ends."""
        for line in sys.stdin:
            said: dict[str, Any] = json.loads(line)
            if "faults" in said:
                machine.befall(**said["faults"])
                self.tell(set=True)
            if "renew" in said:
                machine.renew()
                self.tell(set=True)
            if "ping" in said:
                self.tell(set=True)
            if "become" in said:
                threading.Thread(target=machine.become, args=(said["become"],)).start()
            if "done" in said:
                self._done.put(True)
        if not self._stays:
            os._exit(0)


def main() -> None:
    """Serve one controller."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["ipmi", "redfish"], required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--uuid", required=True)
    parser.add_argument("--user", default="billow")
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--turn", default="", help="command that gets `on` or `off`")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--stay", action="store_true", help="go on when stdin ends")
    chosen = parser.parse_args()
    with open(chosen.password_file, encoding="utf-8") as file:  # noqa: PTH123
        password = file.read().strip()
    talk = _Talk(chosen.turn, stays=chosen.stay)
    machine = Machine(chosen.uuid, talk.turn, talk.tell)
    threading.Thread(target=talk.listen, args=(machine,), daemon=True).start()
    place = (chosen.host, chosen.port)
    if chosen.kind == "ipmi":
        from labs.ha.bmc.ipmi import serve_ipmi

        serve_ipmi(machine, chosen.user, password, place)
    else:
        from labs.ha.bmc.redfish import serve_redfish

        serve_redfish(
            machine, chosen.user, password, place, tuple(chosen.tls) if chosen.tls else None
        )


if __name__ == "__main__":
    main()
