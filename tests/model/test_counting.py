# SPDX-License-Identifier: Apache-2.0
"""Numbers of things in words."""

from billow.model.counting import counted, extent


def test_one_is_told_from_none_and_many() -> None:
    assert [counted(number, "host") for number in (0, 1, 2_000)] == [
        "0 hosts",
        "1 host",
        "2,000 hosts",
    ]
    assert [counted(number, "wish", "wishes") for number in (1, 2)] == ["1 wish", "2 wishes"]
    assert extent(1, 12) == "1 host, 12 instances"
