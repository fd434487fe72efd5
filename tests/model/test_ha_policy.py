# SPDX-License-Identifier: Apache-2.0
"""What an operator may allow high availability."""

import pytest
from pydantic import ValidationError

from billow.act.clock import SystemClock
from billow.ha.matrix import Matrix
from billow.model.ha.evidence import NETWORKS, AgentReport
from billow.model.ha.policy import HaPolicy
from billow.model.ha.view import MOST_CLEAN


def test_as_many_clean_beats_may_be_wanted_as_a_controller_counts() -> None:
    with pytest.raises(ValidationError):
        HaPolicy(clean_beats=MOST_CLEAN + 1)
    most = HaPolicy(clean_beats=MOST_CLEAN)
    matrix = Matrix(SystemClock())
    matrix.expect(["h1"])
    matrix.tell(matrix.row("h1"), AgentReport(host="h1", at=0))
    matrix.beats[: len(NETWORKS)] = 10 * MOST_CLEAN
    assert matrix.reports()["h1"].clean_beats >= most.clean_beats
