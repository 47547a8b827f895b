# SPDX-License-Identifier: Apache-2.0
"""The switches of X-WAM's inference: what need not be done twice."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Shortcuts:
    """Which work is avoided; all exact but ``fp8``.

    Attributes:
        text_once: keys and values of the text once per prompt, in every layer.
        times_once: a call knows three flow times; embed these, not that of every token.
        observed_once: embed the observed frame and state once per chunk.
        one_frame: encode the observed frame, not a clip that repeats it.
        cut_last_block: after attention in the last layer, finish only the tokens whose prediction is wanted.
        late_depth: the depth branch in the last call only, not in every one.
        fused_blocks: fewer and larger operations, see ``inference/fused.py``.
        compiled: blocks through ``torch.compile``; needs ``fused_blocks``.
        fp8: 8-bit matrices; needs ``fused_blocks`` and a GPU that multiplies them.
    """

    text_once: bool = True
    times_once: bool = True
    observed_once: bool = True
    one_frame: bool = True
    cut_last_block: bool = True
    late_depth: bool = True
    fused_blocks: bool = True
    compiled: bool = False
    fp8: bool = False

    @classmethod
    def none(cls) -> Shortcuts:
        """Return the released procedure."""
        return cls(**{field.name: False for field in fields(cls)})
