# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics and distances from the URDF, on pinocchio."""
