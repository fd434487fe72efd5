# SPDX-License-Identifier: Apache-2.0
"""Pool and policy in, plan out. Pure: no I/O, no clock, no dice; ids and times are arguments."""
