# SPDX-License-Identifier: Apache-2.0
"""Numbers of things in words, the same on all faces."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things: `1 host`, `12,000 hosts`, `2 wishes`.

    Args:
        number: How many there are.
        one: What one of them is called.
        many: What several are called, where that is not `one` with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def extent(hosts: int, instances: int) -> str:
    """Return how large a pool is: `12 hosts, 1 instance`."""
    return f"{counted(hosts, 'host')}, {counted(instances, 'instance')}"
