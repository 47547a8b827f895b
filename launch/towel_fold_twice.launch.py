# SPDX-License-Identifier: Apache-2.0
"""Fold a towel twice: ``ros2 launch wam_ros towel_fold_twice.launch.py robot:=... policy:=... pace:=...``."""

from launch import LaunchDescription

from wam_ros.launching import from_graph


def generate_launch_description() -> LaunchDescription:
    return from_graph("towel_fold_twice")
