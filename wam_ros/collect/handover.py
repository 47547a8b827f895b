# SPDX-License-Identifier: Apache-2.0
"""The policy leads until it needs help; then the demonstrator takes over and shows what the policy lacks.

Nobody can think of all the places that a policy gets itself into; here it goes there itself. What it does until the
takeover is recorded as ``policy`` and is no example.

Source: DAgger, Ross, Gordon and Bagnell 2011; takeovers where they are needed: HG-DAgger, Kelly et al. 2019.
"""

from __future__ import annotations

from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, Chunk, FloatArray, Observation, seconds
from wam_ros.policies.base import Request
from wam_ros.policies.expert import Expert
from wam_ros.policies.registry import create_backend

_REACTION_S = 0.3  # from the first sign that help is needed


class Handover:
    """Who leads an attempt.

    Args:
        policy: leads first; its backend and checkpoint are loaded.
        robot, task: that it works on.

    Raises:
        ConfigError, BackendError: the policy cannot be loaded, or does not fit.
    """

    def __init__(self, policy: Policy, robot: Robot, task: Task) -> None:
        self._policy, self._instruction = policy, task.instruction
        self._backend = create_backend(policy.backend)
        self._backend.load(policy, robot, task)
        self._backend.warm_up()
        self.begin(None)

    def begin(self, leads_s: float | None) -> None:
        """Begin an attempt that the policy leads for so long at least; None: not at all."""
        self._leads_s, self._over = leads_s or 0.0, leads_s is None
        self._needed_s: float | None = None
        self._chunk: Chunk | None = None
        self._row = 0
        self._backend.reset()

    @property
    def untouched(self) -> bool:
        """True while the policy leads."""
        return not self._over

    def leads(self, seen: Observation, expert: Expert) -> bool:
        """Say whether the policy leads from this observation on; once taken over, it does not any more."""
        if self._over:
            return False
        now_s = seconds(seen.stamp_ns)
        if not expert.can_take_over(seen):
            self._needed_s = None
        elif self._needed_s is None:
            self._needed_s = now_s
        since_s = now_s if self._needed_s is None else self._needed_s
        self._over = now_s >= self._leads_s and now_s - since_s >= _REACTION_S
        return not self._over

    def infer(self, seen: Observation, mosaic: ByteImage) -> tuple[Chunk | None, FloatArray]:
        """Return a chunk if one is due, and (J,) where the policy now wants the joints to be a period later."""
        fresh = None
        if self._chunk is None or self._row == self._policy.execute_rows:
            fresh = self._chunk = self._backend.infer(Request(seen, mosaic, self._instruction))
            self._row = 0
        wished: FloatArray = self._chunk.positions[self._row]
        self._row += 1
        return fresh, wished

    def close(self) -> None:
        """Free the policy."""
        self._backend.close()
