# SPDX-License-Identifier: Apache-2.0
"""The public kit for tests of Billow and what is built on it: pools, a clock, contracts."""
