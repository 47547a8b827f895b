# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking in a backend: how a new chunk is made to continue what is already committed.

``inpaint`` replaces, ``guided`` pulls the clean estimate of each denoising step towards the committed rows;
both work with any weights. ``trained`` gives the frozen rows to a model that was trained to continue them.
``rollforward`` tells the model where the arms will be when its chunk takes over, and lets the chunk begin there
(VLASH, arXiv 2512.01031). Past the end of what is committed a prefix is held, never zero: zero is the mean of the
data, and the arms would start towards it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.guidance import Fade, prefix_weights
from wam_ros.core.policy import Option, Policy
from wam_ros.core.types import FloatArray
from wam_ros.policies.base import Request

Chunking = Literal["none", "inpaint", "guided", "trained", "rollforward"]


@dataclass(frozen=True)
class ChunkingOptions:
    """What a policy YAML's options say about chunking.

    Attributes:
        kind: see the module.
        fade: how the weight falls from the frozen rows to the free ones.
        largest: beta of the guidance.
        prior_deviation: spread of actions given the observation.
        jacobian: ``identity``, or ``vjp``: differentiate through the network, as published; a backward pass a step.
    """

    kind: Chunking = "none"
    fade: Fade = "exp"
    largest: float = 5.0
    prior_deviation: float = 1.0
    jacobian: Literal["identity", "vjp"] = "identity"

    @classmethod
    def of(cls, options: dict[str, Option], card: Card) -> ChunkingOptions:
        """Read the keys ``chunking``, ``chunking_fade``, ``chunking_largest``, ``chunking_prior``, ``chunking_jacobian``.

        Raises:
            ConfigError: an unknown word, or a model that was not trained for it.
        """
        kind = _one_of("chunking", options.get("chunking", "none"), get_args(Chunking))
        if kind == "trained" and not card.prefix_rows:
            raise ConfigError(
                "chunking: this checkpoint was not trained to continue a prefix; choose inpaint or guided"
            )
        return cls(
            cast("Chunking", kind),
            cast("Fade", _one_of("chunking_fade", options.get("chunking_fade", "exp"), get_args(Fade))),
            float(options.get("chunking_largest", 5.0)),
            float(options.get("chunking_prior", 1.0)),
            cast(
                "Literal['identity', 'vjp']",
                _one_of("chunking_jacobian", options.get("chunking_jacobian", "identity"), ("identity", "vjp")),
            ),
        )


@dataclass(frozen=True)
class CommittedRows:
    """The committed prefix of one request.

    Attributes:
        positions: (K, J) joint positions, held after their end.
        weights: (K,) how hard each row is held to them.
        frozen: (K,) bool, rows that will be executed before the chunk takes over.
    """

    positions: FloatArray
    weights: FloatArray
    frozen: NDArray[np.bool_]


def committed_prefix(request: Request, policy: Policy, fade: Fade) -> CommittedRows | None:
    """Return what a chunk must continue; None when nothing is committed yet.

    Raises:
        ConfigError: the delay leaves no free row.
    """
    committed = request.committed
    if committed is None or not committed.times_ns:
        return None
    delay = math.ceil(request.delay_s * policy.rate_hz - 1e-9)
    rows = np.arange(policy.horizon)
    count = len(committed.times_ns)
    weights = prefix_weights(policy.horizon, delay, policy.execute_rows, fade)
    positions = committed.positions[np.minimum(rows, count - 1)]
    return CommittedRows(positions, np.where(rows < count, weights, 0.0), rows < min(delay, count))


def _one_of(key: str, value: Option, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigError(mismatch(f"policy option {key}", " or ".join(choices), repr(value), "choose one"))
    return str(value)
