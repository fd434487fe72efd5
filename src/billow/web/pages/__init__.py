# SPDX-License-Identifier: Apache-2.0
"""One module per kind of page: its routes, and what its templates are given."""
