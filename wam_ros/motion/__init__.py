# SPDX-License-Identifier: Apache-2.0
"""From chunks to motion: what the robot is committed to, within its limits. The only room that imports ruckig."""
