# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind: summary, HTML report, video."""
