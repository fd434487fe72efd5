# SPDX-License-Identifier: Apache-2.0
"""`billow up`, `serve` and `demo` as processes: they start, end in order, and come back."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.control_planes import BILLOW, control_plane, environment


def billow(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*BILLOW, *words], env=environment(state), cwd=state, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_up_says_where_and_ends_in_order(tmp_path: Path) -> None:
    with control_plane(tmp_path) as plane:
        said = (tmp_path / "log").read_text()
        assert f"console   {plane.url}" in said
        assert str(tmp_path / "token") in said
        assert plane.token not in said
        assert (tmp_path / "token").stat().st_mode & 0o077 == 0
        with plane.client() as client, client.stream("GET", "/v1/events/stream?after=0") as stream:
            next(stream.iter_lines())
            plane.process.send_signal(signal.SIGTERM)
            assert plane.process.wait(timeout=60) == 0
    assert not (tmp_path / "url").exists()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_what_was_created_is_there_after_a_restart(tmp_path: Path) -> None:
    with control_plane(tmp_path, "--speed", "200") as first:
        body = {"instances": [{"id": "kept", "shape": {"cpu_milli": 100, "memory_mib": 64}}]}
        with first.client() as client:
            run = client.post("/v1/instances", json=body, params={"apply": "true"}).json()
            while client.get(f"/v1/runs/{run['id']}").json()["state"] == "running":
                time.sleep(0.05)
    with control_plane(tmp_path, "--speed", "200") as second:
        assert second.token == first.token
        with second.client() as client:
            assert client.get("/v1/instances/kept").json()["state"] == "running"
            assert client.get(f"/v1/runs/{run['id']}").json()["state"] == "done"


def test_down_asks_waits_for_the_controller_and_removes_the_pool(tmp_path: Path) -> None:
    down = ("down", "--engine", "sim", "--state", str(tmp_path))
    create = ("instance", "create", "gone", "--yes")
    with control_plane(tmp_path, "--speed", "200"):
        assert billow(tmp_path, *create).returncode == 0
        served = billow(tmp_path, *down, "--yes")
        assert "a controller still serves this pool" in served.stderr
        assert served.returncode == 1
        assert billow(tmp_path, "instance", "show", "gone").returncode == 0
    asked = billow(tmp_path, *down)
    assert (asked.returncode, asked.stdout) == (5, "")
    assert "say it with --yes" in asked.stderr
    with control_plane(tmp_path):
        assert billow(tmp_path, "instance", "show", "gone").returncode == 0
    done = billow(tmp_path, *down, "--yes")
    assert (done.returncode, done.stdout) == (0, f"the pool in {tmp_path} is gone\n"), done.stderr
    with control_plane(tmp_path):
        assert billow(tmp_path, "instance", "show", "gone").returncode == 1
        assert "create gone" in billow(tmp_path, "plan", "list").stdout


def test_a_second_one_on_the_same_port_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with control_plane(tmp_path) as plane:
        port = plane.url.rpartition(":")[2]
        done = billow(tmp_path, "up", "--engine", "sim", "--port", port)
        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "url").read_text().strip() == plane.url


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--pool", "/nowhere/x.pool"], "no file"),
        (["--speed", "-1"], "speed"),
        (["--speed", "nan"], "speed"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_in_words(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = billow(tmp_path, "up", "--engine", "sim", "--port", "0", *words)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_shows_a_plan_soon(tmp_path: Path) -> None:
    done = billow(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("place web-") == 12
    assert "done" in done.stderr


def test_a_token_stays_with_its_own_control_plane(tmp_path: Path) -> None:
    with control_plane(tmp_path) as plane:
        assert billow(tmp_path, "host", "list").returncode == 0
        elsewhere = billow(tmp_path, "host", "list", "--url", plane.url)
        assert elsewhere.returncode == 1
        assert "nobody knows who asks" in elsewhere.stderr
        shown = billow(tmp_path, "host", "list", "--url", plane.url, "--token", plane.token)
        assert shown.returncode == 0


def test_a_client_starts_without_what_only_a_server_needs(tmp_path: Path) -> None:
    asked = (
        "import sys; from billow.cli.main import app; from billow.cli.output import standard; "
        "from billow.cli.session import Session; Session(standard()).client; "
        "sys.exit(' '.join({'asyncio', 'numpy', 'pydantic', 'sqlalchemy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment(tmp_path), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_answer_that_is_no_control_planes_is_an_error_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        process = subprocess.Popen(
            [*BILLOW, "host", "list", "--url", url], env=environment(tmp_path),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = other.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n\x1b[2J")
        _, talk = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "not as a control plane does" in talk
    assert "\x1b" not in talk
