# SPDX-License-Identifier: Apache-2.0
"""Hosts that run libvirt, several of them as one pool."""
