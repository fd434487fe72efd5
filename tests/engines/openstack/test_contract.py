# SPDX-License-Identifier: Apache-2.0
"""The engine contract on a cloud in memory."""

from pathlib import Path

import pytest
from tests.engines.openstack.double import Double
from tests.engines.openstack.world import DoubleStand

from billow.engines.openstack.verbs import VERBS
from billow.testing.engine_contract import EngineContract


@pytest.mark.usefixtures("quick")
class TestDouble(EngineContract):
    """Three hosts that are not there."""

    verbs = VERBS

    @pytest.fixture
    def stand(self, tmp_path: Path) -> DoubleStand:
        return DoubleStand(tmp_path, Double())
