# SPDX-License-Identifier: Apache-2.0
"""Write the generated half of the reference, so that it cannot differ from the code.

Each page comes from the types themselves: Python from docstrings, error codes from the tree in
`billow.errors`, policies and settings from their models, the CLI and the API from their routes. The
pages land in docs/reference/generated/, which git ignores. `./dev docs` runs this; it changes
nothing else.
"""

import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from billow.api.application import application
from billow.app import Billow
from billow.catalog import CAPABILITIES
from billow.errors import BillowError
from billow.model.policy import Limits
from billow.settings import Settings

Kind = TypeVar("Kind")
TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "generated"
# What a person may build on, in the order of reading.
PYTHON_PACKAGES = ["errors", "model", "ports", "sense", "plan", "act", "testing"]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def summary(text: str | None) -> str:
    """Return the first line of a docstring."""
    return (text or "").strip().split("\n")[0]


def with_descendants(kind: type[Kind]) -> Iterator[type[Kind]]:
    """Yield a class and all that derive from it, parents first."""
    yield kind
    for child in kind.__subclasses__():
        yield from with_descendants(child)


def errors_page() -> str:
    """Return the page of error codes: what the API, the CLI and the journal call each."""
    head = ["code", "HTTP status", "CLI exit code", "worth another try", "meaning"]
    rows = [
        [
            f"`{kind.code}`",
            str(kind.status),
            str(kind.exit_code),
            "yes" if kind.retryable else "no",
            summary(kind.__doc__),
        ]
        for kind in with_descendants(BillowError)
    ]
    return "# Errors\n\n" + table(head, rows)


def bounds(schema: dict[str, object]) -> str:
    """Return what a field's JSON schema says of its size, as text."""
    names = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "maxLength", "enum")
    return ", ".join(f"{name} {schema[name]}" for name in names if name in schema)


def default_of(field: FieldInfo) -> str:
    """Return a field's default as text; one that depends on the machine says how."""
    if field.is_required():
        return "required"
    if field.default_factory is not None and field.default_factory.__doc__:
        return summary(field.default_factory.__doc__)
    value = field.get_default(call_default_factory=True, validated_data={})
    return f"`{value.value if isinstance(value, Enum) else value!r}`"


def knobs(model: type[BaseModel]) -> str:
    """Return a table of a model's fields: name, default, range, meaning."""
    properties = model.model_json_schema()["properties"]
    rows = [
        [f"`{name}`", default_of(field), bounds(properties[name]), field.description or ""]
        for name, field in model.model_fields.items()
    ]
    return table(["name", "default", "range", "meaning"], rows)


def settings_page() -> str:
    """Return the page of settings, by the names that they have in `billow.toml`."""
    told = (
        "In `billow.toml` by these names; in the environment as `BILLOW_` and the name in capitals."
    )
    return f"# Settings\n\n{told}\n\n{knobs(Settings)}"


def policies_page() -> str:
    """Return the page of policies, one section each, by the names that `billow.toml` has."""
    parts = ["# Policies\n", "In `billow.toml` under these names; once with `--set KNOB=VALUE`.\n"]
    for capability in CAPABILITIES:
        policy = capability.policy
        parts += [f"## `[policy.{capability.name}]`\n", summary(policy.__doc__) + "\n"]
        parts += [knobs(policy) if policy.model_fields else "It has no knobs.\n"]
    parts += ["## Limits of every plan\n", summary(Limits.__doc__) + "\n", knobs(Limits)]
    return "\n".join(parts)


def python_page(package: str) -> str:
    """Return a page that mkdocstrings fills from the docstrings of a package."""
    module = importlib.import_module(f"billow.{package}")
    names = [module.__name__]
    if hasattr(module, "__path__"):
        names += [
            info.name for info in pkgutil.iter_modules(module.__path__, module.__name__ + ".")
        ]
    return f"# billow.{package}\n\n" + "".join(f"::: {name}\n\n" for name in names)


def api_page(schema: dict[str, Any]) -> str:
    """Return the page of the API's routes, from its OpenAPI document."""
    rows = [
        [f"`{method.upper()} {path}`", route["summary"], summary(route.get("description"))]
        for path, routes in schema["paths"].items()
        for method, route in routes.items()
    ]
    told = "The whole contract, with every field: [openapi.json](openapi.json)."
    return f"# API\n\n{told}\n\n{table(['request', 'what', 'more'], rows)}"


def cli_page() -> str:
    """Return the page of commands, as Typer tells them."""
    told = [sys.executable, "-m", "typer", "billow.cli.main", "utils", "docs", "--name", "billow"]
    page = subprocess.run(told, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return page.replace("# `billow`", "# Command line", 1)


def main() -> None:
    """Write every generated page anew."""
    shutil.rmtree(TARGET, ignore_errors=True)
    schema = application(cast("Billow", None)).openapi()  # describes itself without a pool
    pages = {"errors": errors_page(), "policies": policies_page(), "settings": settings_page()}
    pages |= {"api": api_page(schema), "cli": cli_page()}
    pages |= {f"python/{package}": python_page(package) for package in PYTHON_PACKAGES}
    for name, text in pages.items():
        path = TARGET / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (TARGET / "openapi.json").write_text(json.dumps(schema, indent=1))


if __name__ == "__main__":
    main()
