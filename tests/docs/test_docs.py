# SPDX-License-Identifier: Apache-2.0
"""The documentation names what exists: commands, options, files; its pools can be read."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from billow.cli.main import app
from billow.model.text import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "SCOPE.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    + [page for page in (ROOT / "docs").rglob("*.md") if "generated" not in page.parts]
)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
SHELLS = frozenset({"sh", "console"})
PROGRAMS = frozenset({"billow", ".venv/bin/billow"})
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:\.venv/bin/)?billow [a-z][^`\n]*|\./dev up [^`\n]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
INSERTED = re.compile(r"\$\(([^()]*)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ROOT_COMMAND = get_command(app)
Misused: type[Exception] = typer.BadParameter.__mro__[1]  # UsageError, of Typer's own click


def blocks(text: str, *names: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    return [body for name, body in BLOCK.findall(text) if name in names]


def typed(block: str) -> Iterator[str]:
    """Yield the lines that a person types, continued ones joined; answers are left out."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield line[2:]
        elif "$ " not in block:
            yield line


def commands(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `billow` in a line of shell."""
    for inner in INSERTED.findall(line):
        yield from commands(inner)
    lexer = shlex.shlex(INSERTED.sub("inserted", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set("();<>|&$"):
            words.append(word)
            continue
        found = [place for place, each in enumerate(words) if each in PROGRAMS]
        if found:
            yield words[found[0] + 1 :]
        elif words[:2] == ["./dev", "up"]:
            yield words[1:]
        words = []


def leaf(arguments: list[str]) -> tuple[Any, list[str]]:
    """Return the command that arguments name, and the rest. Raises Misused."""
    command: Any = ROOT_COMMAND
    rest = list(arguments)
    context = typer.Context(command, info_name="billow")
    while hasattr(command, "resolve_command") and rest and not rest[0].startswith("-"):
        if command.name == "plan" and rest[0] not in command.commands:  # as `plan make CAPABILITY`
            rest = ["make", *rest]
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = typer.Context(command, parent=context, info_name=command.name)
    return command, rest


def check_whole(arguments: list[str]) -> None:
    """Parse a whole command line without running it. Raises Misused."""
    command, rest = leaf(arguments)
    if "--help" not in rest and "--version" not in rest:
        command.make_context(command.name or "billow", rest)


def check_names(arguments: list[str]) -> None:
    """Check the command and its options; what is left out in running text is not missed."""
    command, rest = leaf(arguments)
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    given = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert given <= known | {"--help", "-h"}, f"unknown: {given - known}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_in_blocks_can_be_parsed(page: Path) -> None:
    for block in blocks(page.read_text(), *SHELLS):
        for line in typed(block):
            for arguments in commands(line):
                try:
                    check_whole(arguments)
                except Misused as error:
                    pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_in_running_text_exist(page: Path) -> None:
    for line in INLINE.findall(BLOCK.sub("", page.read_text())):
        for arguments in commands(line):
            try:
                check_names([word for word in arguments if word != "..."])
            except Misused as error:
                pytest.fail(f"{line}: {error}")


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in link or "/generated/" in f"/{path}":  # written by ./dev docs, checked there
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, HEADING.findall(target.read_text())), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_pools_in_text_form_can_be_read(page: Path) -> None:
    for block in blocks(page.read_text(), "pool"):
        assert len(parse(block).hosts) > 0


def test_the_reference_shows_pools() -> None:
    page = ROOT / "docs" / "reference" / "text-form.md"
    assert len(blocks(page.read_text(), "pool")) >= 3


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if "docs" in page.parts}
    missing = {page for page in pages if page not in navigation and "decisions/" not in page}
    assert not missing


@pytest.mark.parametrize(
    "line",
    [
        "billow fly",
        "billow instance list --no-such-option",
        "x=1 .venv/bin/billow run show",
        "for a in $(billow instance lst); do billow apply $a; done",
        "./dev up --engine kubernetes",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    found = list(commands(line))
    with pytest.raises(Misused):
        list(map(check_whole, found))
