# SPDX-License-Identifier: Apache-2.0
"""Why a pool changes: one folder per reason. Capabilities are pure and do not know each other."""
