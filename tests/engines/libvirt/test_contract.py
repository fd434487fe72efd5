# SPDX-License-Identifier: Apache-2.0
"""The engine contract on real libvirtd hosts."""

import pytest

from billow.engines.libvirt.verbs import VERBS
from billow.testing.engine_contract import EngineContract


@pytest.mark.libvirt
class TestLibvirt(EngineContract):
    """Two hosts of the lab; instances are the firmware guest."""

    verbs = VERBS
