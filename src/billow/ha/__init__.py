# SPDX-License-Identifier: Apache-2.0
"""High availability at work: hosts are heard, failures decided upon, proved and recovered from.

Its decisions are `billow.plan.ha`, pure; here is what hears, remembers and does.
"""
