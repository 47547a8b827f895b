# SPDX-License-Identifier: Apache-2.0
"""Converters between messages and core types, and the few rclpy helpers the nodes share."""
