# SPDX-License-Identifier: Apache-2.0
"""Trials of a policy: what they say together, in which order they are made, and when enough have been made."""
