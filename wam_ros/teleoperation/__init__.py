# SPDX-License-Identifier: Apache-2.0
"""What a person wants the arms to do: leader arms, gamepads, keys. No ROS."""
