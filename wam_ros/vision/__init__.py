# SPDX-License-Identifier: Apache-2.0
"""Image operations on OpenCV: resize, decode, calibration boards."""
