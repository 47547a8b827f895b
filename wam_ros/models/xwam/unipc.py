# SPDX-License-Identifier: Apache-2.0
"""UniPC for flows, with every coefficient known beforehand: a step is a few products of tensors that stay in place.

Order 2, the variant bh2, predicting clean samples, lower order at both ends (Zhao et al. 2023). The same numbers
as diffusers' ``UniPCMultistepScheduler`` with explicit sigmas, which a test holds to 1e-6; unlike it a solver here
has no state between chunks, costs no time per step, needs no import, and may be part of a CUDA graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from wam_ros.models.params import Target
from wam_ros.models.schedule import T_MAX, shifted

FIRST_SIGMA = 0.999
"""Of the released grid, before its shift: at 1 the clean sample would be divided by nothing."""


@dataclass(frozen=True)
class Update:
    """One linear update: ``of_sample`` times the sample, plus these times the clean estimates, newest first."""

    of_sample: float
    of_clean: tuple[float, ...]

    def apply(self, sample: Tensor, cleans: list[Tensor]) -> Tensor:
        """Return the updated sample."""
        out = self.of_sample * sample
        for factor, clean in zip(self.of_clean, cleans, strict=False):
            if factor:
                out = out + factor * clean
        return out


@dataclass(frozen=True)
class Step:
    """One step of the solver.

    Attributes:
        sigma: noise level before the step.
        time: what the network is told, 1000 sigma cut to an integer, as released.
        correct: from the sample before the last step to this one, with what the network now says; None at first.
        predict: to the next sample.
    """

    sigma: float
    time: float
    correct: Update | None
    predict: Update


def unipc_steps(count: int, shift: float) -> tuple[Step, ...]:
    """Return the steps from noise to a clean sample."""
    even = np.linspace(FIRST_SIGMA, 0.0, count + 1)[:-1]
    sigmas = [*(shifted(float(u), shift) for u in even), 0.0]
    return tuple(
        Step(
            sigmas[i],
            float(int(sigmas[i] * T_MAX)),
            _corrector(sigmas, i, min(2, i)) if i else None,
            _predictor(sigmas, i, min(2, i + 1, count - i)),
        )
        for i in range(count)
    )


class Solution:
    """A sample on its way from noise to data.

    Attributes:
        sample: what the network sees next, float32.
        step: index of the next step.
    """

    def __init__(self, noise: Tensor, steps: tuple[Step, ...], target: Target) -> None:
        self.sample, self.step = noise.float(), 0
        self._steps, self._target = steps, target
        self._before = self.sample
        self._cleans: list[Tensor] = []

    @property
    def time(self) -> float:
        """Flow time of the sample in 0..1000, 0 when it is done."""
        return 0.0 if self.done else self._steps[self.step].time

    @property
    def done(self) -> bool:
        """True when the sample is clean."""
        return self.step == len(self._steps)

    def advance(self, predicted: Tensor) -> None:
        """Take one step with what the network predicted for the sample."""
        step, predicted = self._steps[self.step], predicted.float()
        clean = predicted if self._target == "x0" else self.sample - step.sigma * predicted
        self._cleans = [clean, *self._cleans[:2]]
        corrected = self.sample if step.correct is None else step.correct.apply(self._before, self._cleans)
        self._before, self.sample = corrected, step.predict.apply(corrected, self._cleans)
        self.step += 1


def _half_log_snr(sigma: float) -> float:
    """Return lambda = log(alpha / sigma) of the flow alpha = 1 - sigma."""
    return math.inf if sigma == 0 else math.log(1 - sigma) - math.log(sigma)


def _predictor(sigmas: list[float], i: int, order: int) -> Update:
    """Return the update from sigma i to sigma i + 1 with clean estimates of sigma i, i - 1."""
    s, t = sigmas[i], sigmas[i + 1]
    h = _half_log_snr(t) - _half_log_snr(s)
    gain = -(1 - t) * math.expm1(-h)
    if order == 1:
        return Update(t / s, (gain,))
    ratio = (_half_log_snr(sigmas[i - 1]) - _half_log_snr(s)) / h
    slope = 0.5 * gain / ratio
    return Update(t / s, (gain - slope, slope))


def _corrector(sigmas: list[float], i: int, order: int) -> Update:
    """Return the update from sigma i - 1 to sigma i with clean estimates of sigma i, i - 1, i - 2."""
    s, t = sigmas[i - 1], sigmas[i]
    h = _half_log_snr(t) - _half_log_snr(s)
    gain = -(1 - t) * math.expm1(-h)
    if order == 1:
        return Update(t / s, (0.5 * gain, 0.5 * gain))
    ratio = (_half_log_snr(sigmas[i - 2]) - _half_log_snr(s)) / h
    first = math.expm1(-h) / -h - 1
    second = first / -h - 0.5
    wanted = np.array([first, 2 * second]) / math.expm1(-h)
    old, new = np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), wanted)
    slope = float(old) / ratio
    return Update(t / s, (float(new) * gain, gain * (1 - slope - float(new)), gain * slope))
