# SPDX-License-Identifier: Apache-2.0
"""One control plane for all tests of the API that one worker runs."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.control_planes import ControlPlane, control_plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane over a simulated pool, an hour of which passes in a minute."""
    with control_plane(tmp_path_factory.mktemp("api"), "--hosts", "4", "--speed", "60") as plane:
        yield plane


@pytest.fixture(scope="session")
def admin(plane: ControlPlane) -> Iterator[httpx2.Client]:
    with plane.client() as client:
        yield client


@pytest.fixture(scope="session")
def operator_token(plane: ControlPlane) -> str:
    return plane.token_for("operator")


@pytest.fixture(scope="session")
def viewer_token(plane: ControlPlane) -> str:
    return plane.token_for("viewer")
