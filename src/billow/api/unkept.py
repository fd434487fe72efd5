# SPDX-License-Identifier: Apache-2.0
"""Which requests take no `Idempotency-Key`: known to the server, and to clients of this house."""

from typing import Final

SECRETS: Final = frozenset({"/v1/tokens", "/v1/agents/tokens"})
"""Answers from here hold a secret, so they are not kept."""
