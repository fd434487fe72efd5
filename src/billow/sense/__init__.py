# SPDX-License-Identifier: Apache-2.0
"""Observations become one Pool. What could not be seen becomes a gap, never a guess."""
