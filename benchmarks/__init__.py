# SPDX-License-Identifier: Apache-2.0
"""Named measurements of Billow; README.md says how to run and how to write one."""
