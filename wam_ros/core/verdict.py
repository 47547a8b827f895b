# SPDX-License-Identifier: Apache-2.0
"""How far an attempt has come, as a judge says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """A judge's word on an attempt that may still go on.

    Attributes:
        elapsed_s: time of the judgement since the start, by the judge's clock; None where it has none.
        progress: 0 to 1, the shares of the stages reached.
        success: None while it is open; False was said by a person.
        stages: names of those reached.
        measures: the judge's numbers.
    """

    elapsed_s: float | None = None
    progress: float = 0.0
    success: bool | None = None
    stages: frozenset[str] = frozenset()
    measures: Mapping[str, float] = field(default_factory=dict)
