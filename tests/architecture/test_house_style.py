# SPDX-License-Identifier: Apache-2.0
"""The budgets and habits of the house that no linter knows: size, docstrings, names, licence."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import billow

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40  # without its docstring

# path::function -> why it is longer
LONG_FUNCTIONS: dict[str, str] = {}
# path -> why it is longer
LONG_FILES: dict[str, str] = {}


def tracked(*patterns: str) -> list[str]:
    """Return the files of the work tree that git does not ignore, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in sorted(set(listing.stdout.splitlines())) if (ROOT / name).exists()]


PYTHON_FILES = tracked("*.py", "dev")
SOURCE_FILES = [name for name in PYTHON_FILES if not name.startswith("tests/")]


def functions(name: str) -> Iterator[tuple[str, int]]:
    """Yield each function of a file with its length in lines, docstring not counted."""
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        first = node.body[0]
        if ast.get_docstring(node) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        yield node.name, lines


def test_files_are_found() -> None:
    assert "src/billow/__init__.py" in SOURCE_FILES
    assert "dev" in SOURCE_FILES
    assert "tests/conftest.py" in PYTHON_FILES


def test_files_stay_short() -> None:
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in PYTHON_FILES}
    long = {name for name, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert long == set(LONG_FILES)


def test_functions_stay_short() -> None:
    long = {
        f"{name}::{function}"
        for name in PYTHON_FILES
        for function, lines in functions(name)
        if lines > MAX_FUNCTION_LINES
    }
    assert long == set(LONG_FUNCTIONS)


def test_licence_line_comes_first() -> None:
    heads = {name: (ROOT / name).read_text().splitlines()[:2] for name in PYTHON_FILES}
    licence = "# SPDX-License-Identifier: Apache-2.0"
    assert [name for name, head in heads.items() if head and licence not in head] == []


def test_no_room_for_everything() -> None:
    rooms = re.compile(r"(^|/)_?(utils?|common|helpers?|base|managers?|misc)(/|\.py$)")
    assert [name for name in PYTHON_FILES if rooms.search(name)] == []


def test_no_notes_to_finish_later() -> None:
    note = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [name for name in PYTHON_FILES if note.search((ROOT / name).read_text())] == []


def test_no_path_of_this_machine() -> None:
    here = f"{ROOT.parent}/".encode()
    assert [name for name in tracked() if here in (ROOT / name).read_bytes()] == []


def modules() -> list[str]:
    """Return the name of each public module of the package."""
    found = pkgutil.walk_packages(billow.__path__, "billow.")
    return sorted(
        info.name
        for info in found
        if not any(part.startswith("_") for part in info.name.split("."))
        and ".migrations." not in info.name
    )


def undocumented(module_name: str) -> Iterator[str]:
    """Yield the public names of a module that have no docstring, own or inherited."""
    module = importlib.import_module(module_name)
    if not module.__doc__:
        yield module_name
    for name, value in vars(module).items():
        kind = inspect.isclass(value) or inspect.isfunction(value)
        if kind and not name.startswith("_") and value.__module__ == module_name:
            yield from (f"{module_name}.{gap}" for gap in gaps(name, value))


def gaps(name: str, value: object) -> Iterator[str]:
    """Yield a class or function, and the public methods of a class, that say nothing."""
    if not inspect.getdoc(value):
        yield name
    for member, function in vars(value).items() if inspect.isclass(value) else ():
        public = inspect.isfunction(function) and not member.startswith("_")
        if public and not inspect.getdoc(getattr(value, member)):
            yield f"{name}.{member}"


@pytest.mark.parametrize("module_name", modules())
def test_public_names_are_documented(module_name: str) -> None:
    assert list(undocumented(module_name)) == []
