# SPDX-License-Identifier: Apache-2.0
"""The capabilities with what the operator has set for each, and what a request sets on top of it.

Settings say `[policy.defrag] moves = 100`; a knob of a request wins over it, and a knob that nobody
sets has the capability's own default. This module must not know any single capability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeGuard

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from billow.errors import Invalid, NotFound
from billow.model.policy import Limits, Policy
from billow.ports import Capability, Reporting
from billow.settings import Settings

Knobs = Mapping[str, object]

UNITS = {
    "s": "s", "min": "min", "h": "h", "days": "days", "mib": "MiB", "mib_s": "MiB/s", "milli":
    "1/1000 CPU", "cpus": "CPUs", "share": "share", "watts": "W", "kwh": "kWh", "ratio": "ratio",
    "percent": "%", "per_day": "a day", "gram": "g", "g_per_kwh": "g/kWh",
}  # fmt: skip
"""How the end of a knob's name tells its unit."""
BOUNDS = {"ge": "{:g} or more", "gt": "over {:g}", "le": "{:g} at most", "lt": "under {:g}"}
"""How a limit of a number reads."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One knob of a policy, for people who set it.

    Attributes:
        unit: What it counts in; empty for words, flags and plain numbers.
        default: What it is when nobody sets it, as JSON has it.
        now: What it is without a word of the request, as JSON has it.
        range: What it may be, in words.
        choices: The words that it may be, where that is a closed set.
    """

    name: str
    unit: str
    default: object
    now: object
    range: str
    description: str
    choices: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether the settings say something else than the default."""
        return self.now != self.default


@dataclass(frozen=True, slots=True)
class Standing:
    """A capability that looks at the pool by itself.

    Attributes:
        every_s: How often; 0 for whenever something else than a measurement has changed.
        approved: Whether its plans are carried out without a person's word.
    """

    capability: Capability[Any]
    policy: Policy
    every_s: float = 0.0
    approved: bool = False


class Policies:
    """What capabilities there are, each with the policy that the settings give it.

    Raises:
        Invalid: the settings name a capability or a knob that does not exist, or a wrong value.
    """

    def __init__(
        self, capabilities: Sequence[Capability[Any]], settings: Mapping[str, Knobs]
    ) -> None:
        self.capabilities: Mapping[str, Capability[Any]] = {
            each.name: each for each in capabilities
        }
        self._set = settings
        for name, knobs in settings.items():
            if name not in self.capabilities:
                raise Invalid(
                    f"the settings have a policy for {name!a}, which is no capability",
                    fix=f"name it [policy.NAME] with one of: {', '.join(self.capabilities)}",
                )
            parse_policy(self.capabilities[name], knobs, f"[policy.{name}] in the settings")

    def standing(self, settings: Settings) -> list[Standing]:
        """Return the capabilities that look at the pool by themselves. Raises Invalid."""
        approved, every_s = settings.approved, settings.standing
        for name in sorted({*approved, *every_s} - set(self.capabilities)):
            raise Invalid(
                f"the settings let {name!a} stand, which is no capability",
                fix=f"choose: {', '.join(self.capabilities)}",
            )
        return [
            Standing(each, self.of(name), every_s.get(name, 0.0), name in approved)
            for name, each in self.capabilities.items()
            if name in approved or name in every_s
        ]

    @property
    def reports(self) -> Mapping[str, Reporting[Any]]:
        """Every capability that can say something of a pool, by its name."""
        return {name: each for name, each in self.capabilities.items() if can_report(each)}

    def capability(self, name: str) -> Capability[Any]:
        """Return a capability. Raises NotFound."""
        if name not in self.capabilities:
            known = ", ".join(self.capabilities)
            raise NotFound(f"no capability {name!a}", fix=f"choose: {known}")
        return self.capabilities[name]

    def reporting(self, name: str) -> Reporting[Any]:
        """Return a capability that reports. Raises NotFound."""
        if name not in self.reports:
            known = ", ".join(self.reports)
            raise NotFound(f"no report {name!a}", fix=f"choose: {known}" if known else "")
        return self.reports[name]

    def of(self, name: str, knobs: Knobs | None = None) -> Policy:
        """Return a capability's policy: as set, with a request's knobs on top.

        Raises:
            NotFound: no such capability.
            Invalid: a knob that does not exist or cannot be so.
        """
        return parse_policy(self.capability(name), {**self._set.get(name, {}), **(knobs or {})})

    def knobs(self, name: str) -> tuple[Knob, ...]:
        """Return every knob of a capability with its unit, range and present value."""
        model = self.capability(name).policy
        default, now = model().model_dump(mode="json"), self.of(name).model_dump(mode="json")
        return tuple(
            Knob(
                key,
                unit_of(key),
                default[key],
                now[key],
                _range(field),
                field.description or "",
                _choices(field),
            )
            for key, field in model.model_fields.items()
        )


def limits_of(settings: Settings) -> Limits:
    """Return the limits that the settings give."""
    names = set(Limits.model_fields) & set(Settings.model_fields)
    return Limits(**{name: getattr(settings, name) for name in names})


def about(capability: object) -> str:
    """Return what a capability is for, in its own first line."""
    first = (type(capability).__doc__ or "").strip().partition("\n")[0].rstrip(".")
    text = first.removeprefix("The capability").lstrip(": ")
    return text[:1].upper() + text[1:]


def can_report(capability: object) -> TypeGuard[Reporting[Any]]:
    """Return whether a capability says something of a pool beside changing it."""
    return callable(getattr(capability, "report", None))


def parse_policy(capability: Capability[Any], knobs: Knobs, where: str = "the policy") -> Policy:
    """Return a capability's policy from its knobs. Raises Invalid that names each wrong knob."""
    try:
        return capability.policy.model_validate(dict(knobs))
    except ValidationError as error:
        details = tuple(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        known = ", ".join(capability.policy.model_fields)
        raise Invalid(f"{where} is not valid", details, f"knobs: {known}") from error


def unit_of(name: str) -> str:
    """Return the unit that a knob's name ends with; empty for none."""
    return next((UNITS[end] for end in sorted(UNITS, key=len, reverse=True)
                 if name == end or name.endswith(f"_{end}")), "")  # fmt: skip


def _choices(field: FieldInfo) -> tuple[str, ...]:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(each.value) for each in kind)
    return ("false", "true") if kind is bool else ()


def _range(field: FieldInfo) -> str:
    """Return what a knob may be, in a few words."""
    choices = _choices(field)
    if choices:
        return " | ".join(choices)
    limits = {name: bound for rule in field.metadata for name in (*BOUNDS, "max_length")
              if (bound := getattr(rule, name, None)) is not None}  # fmt: skip
    if {"ge", "le"} <= limits.keys():
        return f"{limits['ge']:g} to {limits['le']:g}"
    words = [text.format(limits[name]) for name, text in BOUNDS.items() if name in limits]
    words += [f"{limits['max_length']} at most"] if "max_length" in limits else []
    return ", ".join(words)
