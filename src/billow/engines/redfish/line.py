# SPDX-License-Identifier: Apache-2.0
"""Power by Redfish, as `billow.act.power.line.Line`: one system, a handful of requests.

An accepted action may run as a task of the service; it is not followed, for what counts is the
power that is read afterwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from billow.act.power.inventory import Controller
from billow.act.power.line import Reading
from billow.engines.redfish.service import STATUS, Service
from billow.errors import Refused, Unavailable
from billow.model.kinds import Power

_SYSTEMS: Final = "/redfish/v1/Systems"
_CONFLICT: Final = f"{STATUS}409"
_GONE: Final = f"{STATUS}404"
_CHANGED: Final = (f"{STATUS}412", f"{STATUS}428")
_POWER: Final = {
    "On": Power.ON,
    "Off": Power.OFF,
    "PoweringOn": Power.ON,
    "PoweringOff": Power.ON,
    "Paused": Power.ON,
}
_RESTORE: Final = {
    "always-off": "AlwaysOff",
    "previous": "LastState",
    "always-on": "AlwaysOn",
}
_Resource = Mapping[str, Any]


class RedfishLine:
    """One system of one Redfish service over one path."""

    def __init__(self, controller: Controller, path: str) -> None:
        """Name it; nothing is sent yet."""
        self._controller = controller
        self._service = Service(controller, path)
        self._place = controller.system
        self._resets: _Resource = {}

    async def read(self) -> Reading:
        """Return power and identity, of one answer."""
        system = await self._system()
        self._resets = _resets(system)
        told = (str(system.get(key) or "").strip() for key in ("UUID", "SerialNumber"))
        power = _POWER.get(str(system.get("PowerState")), Power.UNKNOWN)
        return Reading(power, tuple(each for each in told if each))

    async def cut(self) -> None:
        """Order its power off at once; 409 means that it is off already.

        Only by what never turns on, whether the service lists it or not: a power button toggles.
        """
        await self._reset("ForceOff")

    async def ask_off(self) -> None:
        """Ask its operating system to shut down."""
        await self._reset("GracefulShutdown", "ForceOff")

    async def give(self) -> None:
        """Order its power on; 409 means that it is on already."""
        await self._reset("On", "ForceOn")

    async def bar(self) -> tuple[str, ...]:
        """Let it stop in its firmware's setup, and stay off when mains power returns."""
        return await self._set(
            "BiosSetup",
            {"BootSourceOverrideEnabled": "Continuous", "BootSourceOverrideTarget": "BiosSetup"},
            "AlwaysOff",
        )

    async def unbar(self) -> tuple[str, ...]:
        """Let it boot as it is set up, and do what it should when mains power returns."""
        return await self._set(
            "None",
            {"BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideTarget": "None"},
            _RESTORE[self._controller.restore],
        )

    async def aclose(self) -> None:
        """Give the session back and let go of the connection."""
        await self._service.aclose()

    async def _set(self, target: str, boot: _Resource, policy: str) -> tuple[str, ...]:
        """Set boot override and restore policy as far as the system has them; return what not."""
        system = await self._system()
        known = _allowed(_part(system, "Boot"), "BootSourceOverrideTarget")
        changes: list[tuple[str, _Resource | None]] = [
            ("boot override", {"Boot": boot} if not known or target in known else None),
            (
                "restore policy",
                {"PowerRestorePolicy": policy} if "PowerRestorePolicy" in system else None,
            ),
        ]
        lacks = []
        for what, change in changes:
            why = "the controller has none"
            if change is not None:
                why = await self._changed(change, str(system.get("@odata.etag", "")))
            if why:
                lacks.append(f"{what} not set: {why}")
        return tuple(lacks)

    async def _changed(self, change: _Resource, etag: str) -> str:
        """Change the system, also when it changed meanwhile; return why not, or nothing."""
        for _ in range(3):
            try:
                await self._service.patch(await self._where(), change, etag)
            except Refused as refusal:
                if refusal.code not in _CHANGED:
                    return "; ".join(refusal.details)
                etag = str((await self._system()).get("@odata.etag", ""))
            else:
                return ""
        return "it was changed by somebody else at the same time"

    async def _reset(self, *kinds: str) -> None:
        """Start the first of these resets that the system has."""
        reset = self._resets or _resets(await self._system())
        place = reset.get("target")
        if not (isinstance(place, str) and place.startswith("/")):
            place = f"{await self._where()}/Actions/ComputerSystem.Reset"
        known = _allowed(reset, "ResetType")
        kind = next((each for each in kinds if not known or each in known), kinds[0])
        try:
            await self._service.post(place, {"ResetType": kind})
        except Refused as refusal:
            if refusal.code != _CONFLICT:
                raise

    async def _system(self) -> dict[str, Any]:
        """Return the system; one that is not where it was is looked for again."""
        try:
            return await self._service.get(await self._where())
        except Refused as refusal:
            if refusal.code != _GONE or self._controller.system:
                raise
        self._place, self._resets = "", {}
        return await self._service.get(await self._where())

    async def _where(self) -> str:
        """Return the system's path, once it is known. Raises Unavailable, Refused."""
        if not self._place:
            self._place = _only(self._controller.host, await self._service.get(_SYSTEMS))
        return self._place


def _resets(system: _Resource) -> _Resource:
    """Return how a system is reset: what its firmware can, which does not change."""
    return _part(_part(system, "Actions"), "#ComputerSystem.Reset")


def _part(resource: _Resource, name: str) -> _Resource:
    """Return a part of a resource; empty where the service gives something else."""
    found = resource.get(name)
    return found if isinstance(found, Mapping) else {}


def _allowed(resource: _Resource, name: str) -> Sequence[str]:
    values = resource.get(f"{name}@Redfish.AllowableValues")
    return [str(each) for each in values] if isinstance(values, list) else ()


def _only(host: str, systems: _Resource) -> str:
    """Return the path of the only system. Raises Refused when there are several, Unavailable."""
    listed = systems.get("Members")
    members = [
        str(each["@odata.id"])
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and str(each.get("@odata.id")).startswith("/")
    ]
    if not members:
        raise Unavailable(f"the Redfish service of {host} shows no system (yet)")
    if len(members) > 1:
        raise Refused(
            f"the Redfish service of {host} has {len(members)} systems",
            tuple(members[:16]),
            "say in bmc.toml which one it is: system = ...",
        )
    return members[0]
