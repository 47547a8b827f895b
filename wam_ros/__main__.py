# SPDX-License-Identifier: Apache-2.0
"""``python -m wam_ros`` is ``wam``."""

from __future__ import annotations

import sys

from wam_ros.cli import main

sys.exit(main())
