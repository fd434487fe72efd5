# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN201, ANN202, ANN204
"""The farm: imports Nova once, then forks a real nova-compute for each host that it is told.

Orders come over a socket, a line each: `start HOST...`, `waiting`. Hosts are started a few at a
time, the next when one has said that it is up: two hundred at once would time out at each other.
"""

import gc
import os
import select
import signal
import socket
import sys
import time
import types
from pathlib import Path

from nova import monkey_patch

monkey_patch.patch(backend="threading")
import lab_driver  # noqa: E402
import nova.cmd.compute as command  # noqa: E402 (the costly import, done once)
import nova.compute.manager  # noqa: E402 (as all that is loaded late: before the forks)
import nova.network.neutron  # noqa: E402
import nova.scheduler.client.report  # noqa: E402, F401
import oslo_messaging._drivers.impl_rabbit  # noqa: E402, F401
from nova import objects, service  # noqa: E402

HOSTS, RUN, LOGS, SETTINGS = (Path(word) for word in sys.argv[1:5])
AT_ONCE = int(sys.argv[5])
PATIENCE_S = 60.0
TRIES = 4
"""How often a compute is started that ends before it is up, as a supervisor would."""
module = types.ModuleType("nova.virt.billow_lab")
module.LabDriver = lab_driver.LabDriver
sys.modules["nova.virt.billow_lab"] = module
objects.register_all()


def be(host, line):
    """Become the nova-compute of a host; never return."""
    line.close()
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = os.open(LOGS / f"nova-compute-{host}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (RUN / f"compute-{host}.pid").write_text(f"{os.getpid()} {started}")
    lab_driver.FOLDER = HOSTS / host
    original = service.Service.start

    def start(self):
        original(self)
        (RUN / f"compute-{host}.up").touch()

    service.Service.start = start
    sys.argv = ["nova-compute", "--config-file", str(SETTINGS / "compute.conf"),
                "--config-file", str(HOSTS / host / "nova.conf")]  # fmt: skip
    sys.exit(command.main())


class Farm:
    """What is to be started, and what has not yet said that it is up."""

    def __init__(self):
        self.queue = []
        self.rising = {}
        self.tries = {}

    def turn(self, line):
        """Bury who ended, and start who may."""
        ended, now = self._bury(), time.monotonic()
        for host, (number, since) in list(self.rising.items()):
            if (RUN / f"compute-{host}.up").exists() or now - since > PATIENCE_S:
                del self.rising[host]
            elif number in ended:
                del self.rising[host]
                if self.tries[host] < TRIES:
                    self.queue.append(host)
        while self.queue and len(self.rising) < AT_ONCE:
            host = self.queue.pop(0)
            (RUN / f"compute-{host}.up").unlink(missing_ok=True)
            number = os.fork()
            if number == 0:
                be(host, line)
            self.rising[host] = number, now
            self.tries[host] = self.tries.get(host, 0) + 1

    def _bury(self):
        ended = set()
        while True:
            try:
                number = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                return ended
            if number == 0:
                return ended
            ended.add(number)

    def obey(self, text):
        """Take an order, and answer it."""
        verb, *words = text.split()
        if verb == "start":
            self.queue += [each for each in words if each not in self.queue]
            self.tries = {**self.tries, **dict.fromkeys(words, 0)}
        return f"{len(self.queue) + len(self.rising)}\n"


def main():
    """Serve orders until told to end."""
    path = RUN / "farm.sock"
    path.unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX)
    line.bind(str(path))
    line.listen(8)
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, pages that all share
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    farm = Farm()
    while True:
        ready, _, _ = select.select([line], [], [], 0.05 if farm.queue or farm.rising else 0.5)
        if ready:
            caller, _ = line.accept()
            with caller:
                caller.settimeout(5)
                try:
                    caller.sendall(farm.obey(caller.makefile().readline()).encode())
                except OSError as error:
                    print("an order was lost:", error, flush=True)
        farm.turn(line)


main()
