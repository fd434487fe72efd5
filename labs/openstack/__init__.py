# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on one machine, on the loopback only: for the engine, its tests, its figures."""

from labs.openstack.lab import Lab
from labs.openstack.places import LabError, Places, Sizes

__all__ = ["Lab", "LabError", "Places", "Sizes"]
