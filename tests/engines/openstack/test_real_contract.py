# SPDX-License-Identifier: Apache-2.0
"""The engine contract on a real Nova."""

from pathlib import Path

import pytest
from labs.openstack import Lab
from tests.engines.openstack.world import LabStand

from billow.engines.openstack.verbs import VERBS
from billow.testing.engine_contract import EngineContract


@pytest.mark.openstack
@pytest.mark.thorough
class TestNova(EngineContract):
    """Hosts of the lab; their guests cost nothing, all else is real."""

    verbs = VERBS

    @pytest.fixture
    def stand(self, fresh_cloud: Lab, tmp_path: Path) -> LabStand:
        return LabStand(tmp_path, fresh_cloud)
