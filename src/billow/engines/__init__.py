# SPDX-License-Identifier: Apache-2.0
"""Where pools live: one folder for each engine; engines do not know each other."""
