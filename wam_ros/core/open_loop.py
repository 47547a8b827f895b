# SPDX-License-Identifier: Apache-2.0
"""How far a policy's chunks lie from what was recorded: joint by joint, and at the tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from wam_ros.core.types import Chunk, FloatArray

#: Recorded targets and rows of a chunk that belong together may be that share of a row apart.
_SLACK = 0.25
Place = Callable[[FloatArray], FloatArray]
"""(3,) where a tool is for (J,) positions, in any frame that stands still [m]."""


class OpenLoop:
    """Errors of chunks against recorded targets.

    Args:
        names: (J,) joints in robot order.
        gripper_mask: (J,) which of them are grippers, whose errors are shares of their opening.
        horizon: rows of a chunk (K).
        tools: arm to where its tool is.
    """

    def __init__(
        self, names: Sequence[str], gripper_mask: Sequence[bool], horizon: int, tools: Mapping[str, Place]
    ) -> None:
        self._names, self._grippers = tuple(names), np.array(gripper_mask)
        self._horizon, self._tools = horizon, dict(tools)
        self._errors: list[FloatArray] = []
        self._away: list[FloatArray] = []

    def __len__(self) -> int:
        return len(self._errors)

    def add(self, chunk: Chunk, times_ns: Sequence[int], targets: FloatArray) -> None:
        """Take a chunk.

        Args:
            chunk: K rows.
            times_ns: (N,) when each recorded target was to be reached, rising.
            targets: (N, J) recorded targets; rows of the chunk beyond their end do not count.
        """
        after_s = (np.array(times_ns, np.int64) - chunk.stamp_ns) / 1e9
        rows_s = np.array(chunk.offsets_ns) / 1e9
        recorded = np.stack([np.interp(rows_s, after_s, column) for column in targets.T], axis=1)
        slack_s = _SLACK * rows_s[0]
        known = (rows_s >= after_s[0] - slack_s) & (rows_s <= after_s[-1] + slack_s)
        error = np.full((self._horizon, len(self._names)), np.nan)
        error[: len(rows_s)][known] = np.abs(chunk.positions - recorded)[known]
        self._errors.append(error)
        away = np.full((self._horizon, len(self._tools)), np.nan)
        for row in np.flatnonzero(known):
            both = (chunk.positions[row], recorded[row])
            away[row] = [np.linalg.norm(np.subtract(*map(place, both))) for place in self._tools.values()]
        self._away.append(away)

    def joints(self) -> dict[str, dict[str, float]]:
        """Return each joint's mean and 95th percentile at the first row and over the horizon [rad, or opening]."""
        errors = np.array(self._errors)
        return {name: _figures(errors[:, :, column]) for column, name in enumerate(self._names)}

    def arms(self) -> dict[str, float]:
        """Return the same over all joints of the arms [rad]."""
        return _figures(np.array(self._errors)[:, :, ~self._grippers])

    def grippers(self) -> dict[str, float]:
        """Return the same over all grippers [share of the opening]."""
        return _figures(np.array(self._errors)[:, :, self._grippers])

    def tools(self) -> dict[str, dict[str, float]]:
        """Return the same for the distance of each arm's tool [m]."""
        away = np.array(self._away)
        return {name: _figures(away[:, :, column]) for column, name in enumerate(self._tools)}


def _figures(errors: FloatArray) -> dict[str, float]:
    found = {}
    for name, part in (("first", errors[:, 0]), ("horizon", errors)):
        values = part[np.isfinite(part)]
        found[f"{name}_mean"] = float(values.mean()) if values.size else 0.0
        found[f"{name}_p95"] = float(np.percentile(values, 95)) if values.size else 0.0
    return found
