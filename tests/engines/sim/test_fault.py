# SPDX-License-Identifier: Apache-2.0
"""The words for what befalls simulated hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.fault import _NETWORKED, _NUMBERED, Blow, Fault, Whom
from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, Hardware, Network


def faults() -> st.SearchStrategy[Fault]:
    def made(whom: Whom, blow: Blow, lost: set[Network], grade: Hardware, number: int) -> Fault:
        whose = whom if blow in _NETWORKED or whom is not Whom.OBSERVER else Whom.HOST
        return Fault(
            whose,
            "" if whose is Whom.ALL else "h1",
            blow,
            tuple(n for n in NETWORKS if n in lost) if blow in _NETWORKED else (),
            grade if blow is Blow.HARDWARE else Hardware.SOUND,
            float(number) if blow in _NUMBERED else 0.0,
        )

    return st.builds(
        made,
        st.sampled_from(Whom),
        st.sampled_from(Blow),
        st.sets(st.sampled_from(NETWORKS), min_size=1),
        st.sampled_from(Hardware),
        st.integers(0, 1000),
    )


@given(faults())
def test_a_fault_is_read_as_it_is_written(fault: Fault) -> None:
    assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    "line",
    [
        "",
        "host",
        "host h1",
        "host h1 sleeps",
        "host h1 loses",
        "host h1 loses hope",
        "rack",
        "host h1 hardware broken",
        "host h1 lease long",
        "host h1 lease nan",
        "host h1 freezes now",
        "observer c1 freezes",
        "host h1 bmc answers after -1",
    ],
)
def test_what_is_no_fault_is_refused(line: str) -> None:
    with pytest.raises(Invalid, match="not understood"):
        Fault.parse(line)
