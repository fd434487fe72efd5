# SPDX-License-Identifier: Apache-2.0
"""What counts as a guest, and that what cannot be seen is never proved to be gone."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from billow.agent.guests import WHOLE, counted, ended, namespace, running, take, unseen
from billow.agent.memory import Memory
from billow.agent.options import read
from billow.agent.orders import DEADLINE_S, Obedience, Order
from tests.agent.ground import LOCAL, NAMESPACES, Host
from tests.agent.test_memory import until

NOBODY = 65534
_HALF_ENDED = """\
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def net_of(host: Host) -> int:
    return (NAMESPACES / host.namespace).stat().st_ino


def entered(host: Host) -> int:
    """Start a guest and wait until it is in its namespace and itself."""
    pid = host.guest("i1").pid
    until(lambda: pid in running(net_of(host)))
    return pid


def as_nobody(function: Callable[[], object]) -> object:
    """Call a function in a process that may see nobody else's, and return what it returned."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(theirs, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def fenced(obedience: Obedience) -> Order:
    """Give a fence order, and return its answer; no time passes but on the order's own clock."""
    moments = itertools.count(100.0, 0.5)
    answer = obedience.take({"id": "o1", "do": "fence", "fence": 1}, next(moments))
    while answer is None:
        answer = obedience.advance(next(moments)).get("o1")
    return answer


def test_a_hypervisor_in_a_namespace_of_its_own_counts_but_in_a_lab(host: Host) -> None:
    pid = entered(host)
    assert pid in running(WHOLE)
    assert take(pid, WHOLE) is not None
    assert pid not in running(namespace())
    assert take(pid, namespace()) is None


def test_only_a_lab_limits_what_counts() -> None:
    words = [word for each, text in LOCAL.items() for word in (f"--{each}", text)]
    assert counted(own_namespace=read(words)[0].own_namespace) == WHOLE
    limited, _ = read([*words, "--own-namespace"])
    assert counted(own_namespace=limited.own_namespace) == namespace()


def test_a_guest_that_nobody_named_is_no_proof(host: Host, folder: Path) -> None:
    entered(host)
    obedience = Obedience(Memory(folder, "b"), {}, {}, net_of(host))
    assert fenced(obedience)["text"] == f"not ended within {DEADLINE_S:g} s: new ones keep coming"


def test_a_hypervisor_that_may_not_be_seen_is_no_proof(host: Host, folder: Path) -> None:
    pid = entered(host)
    folder.chmod(0o777)

    def fence() -> object:
        found = set(unseen(net_of(host)))
        return [pid in found, fenced(Obedience(Memory(folder, "b"), {}, {}, net_of(host)))]

    hidden, answer = cast("tuple[bool, Order]", as_nobody(fence))
    assert hidden
    assert answer["ok"] is False
    assert "cannot see process" in str(answer["text"])
    assert "the agent needs root" in str(answer["text"])


def test_a_guest_that_may_not_be_ended_is_named(host: Host, folder: Path) -> None:
    pid = entered(host)
    folder.chmod(0o777)

    def fence() -> object:
        guest = take(pid, WHOLE)
        assert guest is not None
        return fenced(Obedience(Memory(folder, "b"), {pid: guest}, {}, namespace()))

    answer = cast("Order", as_nobody(fence))
    assert answer["ok"] is False
    assert f"cannot end process {pid}: the agent needs root" in str(answer["text"])


def test_root_sees_all(host: Host) -> None:
    pid = entered(host)
    assert pid not in unseen(net_of(host))
    assert pid not in unseen(WHOLE)


def test_a_process_whose_first_thread_ended_lives_while_another_does(folder: Path) -> None:
    program = folder / "qemu-system-x86_64"
    shutil.copy(Path(sys.executable).resolve(), program)
    home = {"PYTHONHOME": sys.base_prefix}
    process = subprocess.Popen([str(program), "-c", _HALF_ENDED], env={**os.environ, **home})
    try:
        stat = Path(f"/proc/{process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        assert not ended(process.pid)
        assert process.pid in running(namespace())
        guest = take(process.pid, namespace())
        assert guest is not None
        guest.kill()
        until(lambda: ended(process.pid))
        assert process.poll() in {None, -signal.SIGKILL}
    finally:
        process.kill()
        process.wait()
    assert ended(process.pid)
