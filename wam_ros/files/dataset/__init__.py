# SPDX-License-Identifier: Apache-2.0
"""Datasets of recorded episodes: LeRobot v3.0 on disk, safe against a crash at any byte (docs/adr/0011)."""
