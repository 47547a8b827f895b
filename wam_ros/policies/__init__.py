# SPDX-License-Identifier: Apache-2.0
"""Policy backends and the worker that runs them."""
