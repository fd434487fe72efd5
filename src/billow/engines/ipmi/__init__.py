# SPDX-License-Identifier: Apache-2.0
"""Hosts whose management controllers speak IPMI 2.0: power on, power off, fence."""
