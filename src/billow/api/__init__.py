# SPDX-License-Identifier: Apache-2.0
"""The HTTP face, `/v1`: check what comes in, ask `app.Billow`, render. It decides nothing."""
