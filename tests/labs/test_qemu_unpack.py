# SPDX-License-Identifier: Apache-2.0
"""A second QEMU: the mirror is the machine's own, and its programs load their own modules."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "labs/qemu/unpack.py"
DEB822 = """\
# a comment
Types: deb
URIs: mirror://one/debian
Suites: {release} {release}-updates
Signed-By: /keys/one.gpg

Types: deb
URIs: mirror://one/security
Suites: {release}-security
"""


@pytest.fixture
def unpack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("unpack", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "unpack", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    (tmp_path / "sources.list.d").mkdir()
    return module


def release() -> str:
    rows = Path("/etc/os-release").read_text().splitlines()
    return next(row.partition("=")[2] for row in rows if row.startswith("VERSION_CODENAME="))


def test_the_mirror_is_where_this_machine_has_its_debian_from(
    unpack: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="no source of Debian"):
        unpack.mirror()
    line = f"deb [arch=amd64 signed-by=/keys/two.gpg] mirror://two/debian {release()} main\n"
    (tmp_path / "sources.list").write_text("deb mirror://other stretch main\n" + line)
    assert unpack.mirror() == unpack.Mirror("mirror://two/debian", "/keys/two.gpg", release())
    text = DEB822.format(release=release())
    (tmp_path / "sources.list.d/debian.sources").write_text(text)
    assert unpack.mirror() == unpack.Mirror("mirror://one/debian", "/keys/one.gpg", release())


def test_each_program_loads_its_own_modules(unpack: ModuleType, tmp_path: Path) -> None:
    modules, programs = (tmp_path / "root/usr" / each for each in ("lib/x-linux-gnu/qemu", "bin"))
    for place in (modules, programs):
        place.mkdir(parents=True)
    program = programs / "qemu-system-x"
    program.write_text('#!/bin/sh\necho "$QEMU_MODULE_DIR" "$@"\n')
    program.chmod(0o755)
    unpack.wrap(tmp_path)
    said = subprocess.check_output([tmp_path / "qemu-system-x", "-a", "b c"], text=True)
    assert said == f"{modules} -a b c\n"
