# SPDX-License-Identifier: Apache-2.0
"""A simulated pool: deterministic, of any size, with faults on demand."""
