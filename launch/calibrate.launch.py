# SPDX-License-Identifier: Apache-2.0
"""Calibrate a robot's cameras: ``ros2 launch wam_ros calibrate.launch.py robot:=... move:=...`` (docs/calibration.md)."""

from launch import LaunchDescription

from wam_ros.launching import from_calibration


def generate_launch_description() -> LaunchDescription:
    return from_calibration()
