# SPDX-License-Identifier: Apache-2.0
"""The simulated twin on MuJoCo. No ROS."""
