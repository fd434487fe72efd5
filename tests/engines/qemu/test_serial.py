# SPDX-License-Identifier: Apache-2.0
"""A serial log keeps its newest lines and a bounded size."""

import os
from pathlib import Path

from billow.engines.qemu.serial import trim


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    assert not trim(log)
    log.write_bytes(b"x" * 100)
    assert not trim(log, most=100, kept=10)
    assert log.read_bytes() == b"x" * 100


def test_a_long_log_keeps_whole_new_lines_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    writer = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for number in range(1000):
        os.write(writer, f"line {number}\n".encode())
    assert trim(log, most=1000, kept=100)
    os.write(writer, b"line 1000\n")
    os.close(writer)
    lines = log.read_text().splitlines()
    assert lines == [f"line {number}" for number in range(1001 - len(lines), 1001)]
    assert 5 < len(lines) < 15
