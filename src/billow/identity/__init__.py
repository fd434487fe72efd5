# SPDX-License-Identifier: Apache-2.0
"""Who asks, may they, and what they did: tokens, sessions, roles and the audit trail."""
