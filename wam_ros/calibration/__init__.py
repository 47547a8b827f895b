# SPDX-License-Identifier: Apache-2.0
"""A calibration while it is taken: which pose next, what the pictures show, what came of it."""
