# SPDX-License-Identifier: Apache-2.0
"""The host list and the instance list, for every face: fields, filters, order, pages."""
