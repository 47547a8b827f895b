# SPDX-License-Identifier: Apache-2.0
"""The page in the browser, on viser. No ROS."""
