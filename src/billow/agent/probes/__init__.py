# SPDX-License-Identifier: Apache-2.0
"""The probes: one file for each thing that can ail a host; what it reads apart from what it means.

They run in the prober. A probe does not know another one, nor who is told.
"""
