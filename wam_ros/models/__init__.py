# SPDX-License-Identifier: Apache-2.0
"""World Action Models in torch: DiT core, Fast-WAM. No ROS."""
