# SPDX-License-Identifier: Apache-2.0
"""Arms that this computer moves itself, through their vendor's library."""
