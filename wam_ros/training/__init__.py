# SPDX-License-Identifier: Apache-2.0
"""Objectives, data and loop that make checkpoints."""
