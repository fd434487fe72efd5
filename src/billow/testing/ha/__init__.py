# SPDX-License-Identifier: Apache-2.0
"""High availability under test: the production protocol checked state by state, and simulated."""
