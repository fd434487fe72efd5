# SPDX-License-Identifier: Apache-2.0
"""Hosts whose management controllers speak Redfish: power on, power off, fence."""
