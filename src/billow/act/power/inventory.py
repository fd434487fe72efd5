# SPDX-License-Identifier: Apache-2.0
"""Which management controller each host has, and over which paths it is reached: `bmc.toml`.

    [defaults]
    user = "billow"
    secret_file = "bmc.secret"
    proxies = ["direct", "ssh://h7", "ssh://h9"]

    [[bmc]]
    host = "h1"
    kind = "ipmi"
    address = "10.0.9.1"
    uuid = "4c4c4544-0042-3610-8051-b4c04f564231"

A path is `direct`, or a hop that bridges to the out-of-band network. The file is read once, secrets
each time that they are used, so that they can be changed meanwhile.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from billow.errors import Invalid, NotFound
from billow.model.names import check_id

DIRECT: Final = "direct"
_HOPS: Final = {
    "ipmi": ("ssh://", "netns:"),
    "redfish": ("http://", "https://", "socks5://"),
}
_WRITABLE: Final = 0o077


class Controller(BaseModel):
    """A host's management controller.

    Attributes:
        uuid: The system UUID or serial number, as an operator recorded it; empty for as the
            host's agent told it.
        proxies: Paths to it, best first.
        at_once: Sessions that it is asked to hold at one time, for each path.
        answer_s: After so long without an answer there is none; seconds are normal.
        off_s: After so long an order to turn off has failed.
        shutdown_s: How long an operating system may take to shut down before its power is cut.
        restore: What the host does when mains power returns, once it may run again.
        cipher: Cipher suite of IPMI: 3 (SHA-1), or 17 (SHA-256) where the controller has it.
        ca_file: Who signs the certificate of a Redfish service; its own certificate is one, too.
        check_name: Whether that certificate must name the address.
        system: Path of the host's system in a Redfish service that has several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    kind: Literal["ipmi", "redfish"]
    address: str = Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")
    user: str = Field("", max_length=64, pattern=r"^[ -~]*$")
    secret_file: Path
    uuid: str = Field("", max_length=100)
    proxies: tuple[Annotated[str, Field(pattern=r"^[!-~]+$")], ...] = (DIRECT,)
    at_once: int = Field(4, ge=1, le=16)
    answer_s: float = Field(20.0, ge=0.1, le=120)
    off_s: float = Field(60.0, ge=1, le=600)
    shutdown_s: float = Field(90.0, ge=0, le=3600)
    restore: Literal["always-off", "previous", "always-on"] = "previous"
    cipher: Literal[3, 17] = 3
    ca_file: Path | None = None
    check_name: bool = True
    system: str = Field("", pattern=r"^(/[!-~]*)?$")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_id("host", self.host)
        redfish = self.kind == "redfish"
        if redfish and not self.address.startswith(("http://", "https://")):
            raise ValueError("address: a Redfish service is an http:// or https:// URL")
        if not redfish and "/" in self.address:
            raise ValueError("address: for ipmi it is HOST or HOST:PORT, not a URL")
        hops = _HOPS[self.kind]
        for each in self.proxies:
            if each != DIRECT and not each.startswith(hops):
                known = ", ".join((DIRECT, *hops))
                raise ValueError(f"proxies: {each!r} is no path for {self.kind}; it knows {known}")
        if not self.proxies or len(set(self.proxies)) < len(self.proxies):
            raise ValueError("proxies: name at least one path, and each once")
        return self

    def secret(self) -> str:
        """Read the password. Raises NotFound, Invalid."""
        try:
            mode = self.secret_file.stat().st_mode
            text = self.secret_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(
                f"the secret of the management controller of {self.host} cannot be read",
                (f"{self.secret_file}: {error}",),
                "put its password into that file, readable for Billow only",
            ) from error
        if mode & _WRITABLE:
            raise Invalid(
                f"{self.secret_file} can be read by others than its owner",
                fix=f"chmod 600 {self.secret_file}",
            )
        if not text or "\n" in text:
            raise Invalid(f"{self.secret_file} does not hold one password in one line")
        return text


def read_controllers(path: Path) -> tuple[Controller, ...]:
    """Read the file of management controllers.

    Relative names of files in it are relative to its folder.

    Raises:
        NotFound: there is no such file.
        Invalid: it cannot be understood; all that is wrong is told at once.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        fix = "write one, or name another with BILLOW_BMC_FILE"
        raise NotFound(f"{path} cannot be read: {error}", fix=fix) from error
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path.name} is no TOML: {error}") from error
    strange = sorted(document.keys() - {"defaults", "bmc"})
    tables, defaults = document.get("bmc", []), document.get("defaults", {})
    if strange or not isinstance(tables, list) or not isinstance(defaults, dict):
        raise Invalid(
            f"{path.name} holds something else than [defaults] and [[bmc]]", tuple(strange)
        )
    return _checked(path, [{**defaults, **each} for each in tables if isinstance(each, dict)])


def _checked(path: Path, tables: Sequence[dict[str, Any]]) -> tuple[Controller, ...]:
    found: list[Controller] = []
    wrong: list[str] = []
    for number, table in enumerate(tables):
        name = f"bmc {number + 1} ({table.get('host', 'without a host')})"
        try:
            found.append(_placed(path.parent, Controller.model_validate(table)))
        except (ValidationError, Invalid) as error:
            wrong += [f"{name}: {each}" for each in _reasons(error)]
    wrong += _doubled("host and kind", [f"{each.host} {each.kind}" for each in found])
    places = {(each.kind, each.address, each.system): each.host for each in found}
    if len(places) < len(found):
        wrong += _doubled("address", [f"{each.address} {each.system}".strip() for each in found])
    wrong += _doubled(
        "uuid", [each.uuid.lower() + f" ({each.kind})" for each in found if each.uuid]
    )
    if wrong:
        raise Invalid(f"{path.name} cannot be used", tuple(wrong), "correct these entries")
    return tuple(found)


def _placed(folder: Path, controller: Controller) -> Controller:
    files = {"secret_file": controller.secret_file, "ca_file": controller.ca_file}
    return controller.model_copy(
        update={name: folder / file for name, file in files.items() if file is not None}
    )


def _reasons(error: ValidationError | Invalid) -> list[str]:
    if isinstance(error, Invalid):
        return [error.brief]
    return [
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"])))
        for each in error.errors(include_input=False, include_url=False)
    ]


def _doubled(what: str, values: Sequence[str]) -> list[str]:
    twice = sorted({each for each in values if values.count(each) > 1})
    return [f"{what} {each} is given twice" for each in twice]
