# SPDX-License-Identifier: Apache-2.0
"""The console: Billow in a browser. It renders what `app.Billow` says and decides nothing."""
