# SPDX-License-Identifier: Apache-2.0
"""Requests that come to a simulated pool by themselves, and instances that end by themselves.

    time,instance,cpu_milli,memory_mib,lifetime_s
    0,web-1,2000,4096,3600
    30,batch-7,500,1024,

An arrival is seen as a requested instance, for placement to find a host; when its lifetime is over
it is gone, wherever it is. An empty lifetime lasts for ever.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from billow.errors import Invalid
from billow.model.instance import Instance
from billow.model.shape import Shape


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request.

    Attributes:
        at: When it comes, seconds since the world began.
        lifetime_s: After how long it is gone; infinite when it stays.
    """

    at: float
    request: Instance
    lifetime_s: float = math.inf


def read_arrivals(lines: Iterable[str]) -> tuple[Arrival, ...]:
    """Read arrivals from CSV lines with a head. Raises Invalid that names the line."""
    arrivals = []
    for number, row in enumerate(csv.DictReader(lines), 2):
        try:
            arrivals.append(_arrival(row))
        except (KeyError, TypeError, ValueError) as error:
            raise Invalid(
                f"line {number} of the arrivals is not understood: {error}",
                fix="the head is time,instance,cpu_milli,memory_mib,lifetime_s",
            ) from error
    return tuple(sorted(arrivals, key=lambda each: (each.at, each.request.id)))


def _arrival(row: Mapping[str, str]) -> Arrival:
    cpu_milli, memory_mib = int(row["cpu_milli"]), int(row["memory_mib"])
    shape = Shape(f"{cpu_milli}m-{memory_mib}mib", cpu_milli, memory_mib)
    lifetime_s = float(row["lifetime_s"] or math.inf)
    if not (float(row["time"]) >= 0 and lifetime_s > 0):
        raise ValueError("times must be numbers of seconds, 0 or more")
    return Arrival(float(row["time"]), Instance(row["instance"], shape), lifetime_s)
