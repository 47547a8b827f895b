# SPDX-License-Identifier: Apache-2.0
"""A run shown to somebody who must not know which policy it is."""

from __future__ import annotations

from dataclasses import replace

from wam_ros.report.progress import Listener, Moment
from wam_ros.report.summary import Attempt, Setup


class Blinded:
    """Passes on what happens, without what would tell two policies apart: name and nodes' figures.

    Args:
        listener: is told.
        name: that the policy has instead of its own.
    """

    def __init__(self, listener: Listener, name: str) -> None:
        self._listener, self._name = listener, name

    def begins(self, setup: Setup) -> None:
        """A run begins."""
        self._listener.begins(replace(setup, policy=self._name))

    def waiting(self, what: str) -> None:
        """Something is awaited."""
        self._listener.waiting(what)

    def moment(self, moment: Moment) -> None:
        """The attempt goes on."""
        self._listener.moment(replace(moment, figures={}))

    def ended(self, number: int, attempt: Attempt) -> None:
        """An attempt is over."""
        self._listener.ended(number, attempt)
