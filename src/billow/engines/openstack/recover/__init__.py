# SPDX-License-Identifier: Apache-2.0
"""Hosts that die and come back, and what ran on them, as Nova and Placement have to be told."""
