# SPDX-License-Identifier: Apache-2.0
"""Demonstrations from the simulated twin, without ROS."""
