# SPDX-License-Identifier: Apache-2.0
"""The engine contract on real QEMU processes."""

import pytest

from billow.engines.qemu.groups import find_hierarchy
from billow.engines.qemu.verbs import VERBS
from billow.model.action import Throttle
from billow.testing.engine_contract import EngineContract


@pytest.mark.qemu
class TestQemu(EngineContract):
    """Two hosts of this machine; instances are the firmware guest."""

    verbs = VERBS if find_hierarchy().cpu else VERBS - {Throttle}
