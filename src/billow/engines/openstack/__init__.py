# SPDX-License-Identifier: Apache-2.0
"""OpenStack as a place where a pool lives: seen by Nova and Placement, changed through Nova."""
