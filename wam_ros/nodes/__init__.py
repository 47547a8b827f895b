# SPDX-License-Identifier: Apache-2.0
"""Thin ROS 2 nodes, one job each."""
