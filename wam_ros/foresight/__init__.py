# SPDX-License-Identifier: Apache-2.0
"""What a model imagines beside what is measured: as clouds, and as errors once its time has come. No ROS."""
