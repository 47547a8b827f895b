# SPDX-License-Identifier: Apache-2.0
"""Time-optimal moves within velocity, acceleration and jerk: to stop, and to approach a position."""

from __future__ import annotations

import numpy as np
from ruckig import ControlInterface, InputParameter, Profile, Result, Ruckig, RuckigError, Synchronization, Trajectory

from wam_ros.core.limits import Limits
from wam_ros.core.spline import Spline, State
from wam_ros.core.types import FloatArray


class Governor:
    """Plans moves for J joints that start in any state; all joints arrive together.

    Intermediate waypoints are never set: the library would send them to a cloud service.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._planner = Ruckig(len(limits.velocity))
        self._input = InputParameter(len(limits.velocity))

    def stop(self, state: State, share: float = 1.0) -> Spline | None:
        """Return the motion to rest at a share of the limits; None when there is none from this state."""
        self._input.control_interface = ControlInterface.Velocity
        self._input.target_velocity = np.zeros_like(state.velocity)
        self._input.target_acceleration = np.zeros_like(state.velocity)
        return self._plan(state, share)

    def move(self, state: State, target: State, share: float = 1.0) -> Spline | None:
        """Return the motion into a target state at a share of the limits; None when there is none."""
        self._input.control_interface = ControlInterface.Position
        self._input.target_position = target.position
        self._input.target_velocity = target.velocity
        self._input.target_acceleration = target.acceleration
        return self._plan(state, share)

    def _plan(self, state: State, share: float) -> Spline | None:
        plan, limits = self._input, self._limits.scaled(share)
        plan.current_position = state.position
        plan.current_velocity = state.velocity
        plan.current_acceleration = state.acceleration
        plan.max_velocity, plan.max_acceleration, plan.max_jerk = limits.velocity, limits.acceleration, limits.jerk
        plan.synchronization = Synchronization.Time
        trajectory = Trajectory(len(limits.velocity))
        try:
            result = self._planner.calculate(plan, trajectory)
        except RuckigError:
            return None
        if result not in (Result.Working, Result.Finished):
            return None
        return _pieces(state, trajectory)


def _pieces(state: State, trajectory: Trajectory) -> Spline:
    """Turn the planner's profiles into pieces of constant jerk that all joints share."""
    profiles = [_profile(profile) for profile in trajectory.profiles[0]]
    knots = np.unique(np.concatenate([np.zeros(1), *(times for times, _ in profiles)]))
    middle = (knots[:-1] + knots[1:]) / 2
    jerks = np.zeros((len(middle), len(profiles)))
    for joint, (times, values) in enumerate(profiles):
        jerks[:, joint] = values[np.searchsorted(times, middle)]
    return Spline.from_jerks(state, knots, jerks)


def _profile(profile: Profile) -> tuple[FloatArray, FloatArray]:
    """Ends of one joint's pieces [s], and their jerks with a zero for the time after the last one."""
    brake, accel = profile.brake, profile.accel
    durations = np.array([*brake.t, *profile.t, *accel.t])
    jerks = np.array([*brake.j, *profile.j, *accel.j, 0.0])
    return np.cumsum(durations), jerks
