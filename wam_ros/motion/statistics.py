# SPDX-License-Identifier: Apache-2.0
"""What is counted while chunks are joined: for diagnostics and for the summary of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.chunk import Outcome
from wam_ros.core.spline import State


@dataclass
class Statistics:
    """Counts since the splicer was made, and the largest steps at a seam.

    Attributes:
        outcomes: how often each outcome happened.
        seam_step_rad_max, seam_step_rad_s_max: largest step of the arms where one chunk replaced another.
        ticks, idle_ticks: samples since the first chunk, and those of them with nothing left to execute.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    seam_step_rad_max: float = 0.0
    seam_step_rad_s_max: float = 0.0
    ticks: int = 0
    idle_ticks: int = 0

    @property
    def accepted(self) -> int:
        """Chunks that were executed, slowed or not."""
        return sum(n for outcome, n in self.outcomes.items() if outcome.accepted)

    @property
    def refused(self) -> dict[Outcome, int]:
        """Count of each refusal that happened."""
        return {outcome: n for outcome, n in self.outcomes.items() if not outcome.accepted}

    @property
    def idle_share(self) -> float:
        """Share of the samples at which the arms stood because no chunk came in time."""
        return self.idle_ticks / self.ticks if self.ticks else 0.0

    def count(self, outcome: Outcome) -> None:
        """Count what became of a chunk."""
        self.outcomes[outcome] += 1

    def seam(self, before: State, after: State) -> None:
        """Note what was committed for one time before and after a chunk was joined."""
        step = after - before
        self.seam_step_rad_max = max(self.seam_step_rad_max, float(np.abs(step.position).max()))
        self.seam_step_rad_s_max = max(self.seam_step_rad_s_max, float(np.abs(step.velocity).max()))

    def tick(self, idle: bool) -> None:
        """Count a sample; idle when the committed motion has come to its end."""
        self.ticks += 1
        self.idle_ticks += idle
