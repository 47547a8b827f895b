# SPDX-License-Identifier: Apache-2.0
"""Pure numpy: types, configuration, synchronising, stitching, splicing, limits, safety. No clock, thread, file, ROS."""
