# SPDX-License-Identifier: Apache-2.0
"""Benchmarks behind wam bench NAME: flat keys, ratios to a floor of the same run."""
