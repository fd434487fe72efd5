# SPDX-License-Identifier: Apache-2.0
"""The engine `ipmi` keeps the contract of management controllers against an emulated one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.ha.bmc import Emulator
from tests.engines.power import EmulatedContract, EmulatedStand, started

from billow.engines.ipmi.line import IpmiLine

pytestmark = pytest.mark.bmc


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Emulator]]:
    found = started("ipmi")
    yield found
    for each in found.values():
        each.stop()


class TestIpmi(EmulatedContract):
    @pytest.fixture
    def stand(self, emulators: dict[str, Emulator], tmp_path: Path) -> EmulatedStand:
        return EmulatedStand(emulators, IpmiLine, tmp_path)
