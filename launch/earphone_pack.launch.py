# SPDX-License-Identifier: Apache-2.0
"""Pack an earphone case: ``ros2 launch wam_ros earphone_pack.launch.py robot:=... policy:=... pace:=...``."""

from launch import LaunchDescription

from wam_ros.launching import from_graph


def generate_launch_description() -> LaunchDescription:
    return from_graph("earphone_pack")
