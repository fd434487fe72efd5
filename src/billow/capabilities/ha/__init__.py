# SPDX-License-Identifier: Apache-2.0
"""High availability as a capability: which instances would come back if their host died."""
