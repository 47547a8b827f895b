# SPDX-License-Identifier: Apache-2.0
"""The errors a user or a caller can act on.

Every message says what is wrong, what was expected, what was got, and what to do about it.
They are caught by type at two places only: the command line (exit code 2, one sentence) and the
worker boundary of the policy node (which stores the error and stops the robot).
"""

from __future__ import annotations


class WamError(Exception):
    """Base of every error raised on purpose by this package."""


class ConfigError(WamError):
    """A file, key or argument that the user can correct.

    The message starts with the place: ``config/robots/x.yaml: $.arms[0].joints: ...``.
    """


class ShapeError(WamError):
    """An array, name list or message whose size or order is not the declared one."""


class ImplausibleError(ShapeError):
    """A joint said to be where it cannot be: another unit, scale or zero.

    Attributes:
        joint: its name.
    """

    def __init__(self, joint: str, text: str) -> None:
        super().__init__(text)
        self.joint = joint


class StaleDataError(WamError):
    """Data that lies too far in the past to be acted on."""


class UnsafeCommandError(WamError):
    """A motion that must not reach the robot (non-finite, beyond limits, too far away)."""


class BackendError(WamError):
    """A policy backend that cannot load, warm up or infer."""


class CameraError(WamError):
    """A camera that is absent, silent, or another than it is said to be."""


class CalibrationError(WamError):
    """A calibration that is degenerate, inconsistent or not verified."""


class DatasetError(WamError):
    """A recorded episode or dataset that does not hold what it declares."""


class LockstepError(WamError):
    """A member of the lockstep ring that did not pass the token on in time."""


class RunError(WamError):
    """A run of the graph in which something that is needed never came."""


class MissingDependencyError(WamError):
    """An optional package or system library that is needed now and is not installed."""


def mismatch(what: str, expected: object, got: object, remedy: str) -> str:
    """Return the one-sentence form of an error: what, expected, got, remedy."""
    return f"{what}: expected {expected}, got {got}; {remedy}"
