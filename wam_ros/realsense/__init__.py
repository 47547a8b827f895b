# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras by their serial numbers: find, open, read, open again."""
