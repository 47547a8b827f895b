# SPDX-License-Identifier: Apache-2.0
"""What all tests of whole runs share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of nodes check every message field by field, each kind of it; here it would cost an eighth of the time."""
    monkeypatch.delenv("ROS_PYTHON_CHECK_FIELDS", raising=False)
    for module in list(sys.modules.values()):  # they read the environment once, as they are imported
        if "ros_python_check_fields" in getattr(module, "__dict__", {}):
            monkeypatch.setattr(module, "ros_python_check_fields", "")
