# SPDX-License-Identifier: Apache-2.0
"""Reference values and laws of the prefix weights and of the guidance weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.core.guidance import guidance_weight, prefix_weights


def test_linear_and_exponential_weights_have_the_reference_values():
    linear = prefix_weights(32, 4, 20, "linear")
    np.testing.assert_allclose(linear[:4], 1)
    np.testing.assert_allclose(linear[4:12], np.arange(8, 0, -1) / 9)
    exp = prefix_weights(32, 4, 20, "exp")
    np.testing.assert_allclose(exp[4:12], [0.741, 0.533, 0.368, 0.240, 0.145, 0.077, 0.032, 0.008], atol=5e-4)
    assert not linear[12:].any()
    assert not exp[12:].any()


def test_the_published_weight_and_the_prior_corrected_one_have_the_reference_values():
    taus = np.arange(10) / 10
    np.testing.assert_allclose(
        [guidance_weight(t, 5) for t in taus], [5, 5, 4.25, 2.762, 2.167, 2.0, 2.167, 2.762, 4.25, 5], atol=5e-4
    )
    np.testing.assert_allclose([guidance_weight(t, 10, 0.2) for t in taus], 10)


@given(
    st.integers(1, 64).flatmap(lambda h: st.tuples(st.just(h), st.integers(0, h), st.integers(0, h))),
    st.sampled_from(["exp", "linear", "zeros", "ones"]),
)
def test_weights_fall_from_one_to_zero_and_leave_the_last_rows_free(sizes, fade):
    horizon, delay, execute = sizes
    weights = prefix_weights(horizon, delay, execute, fade)
    assert weights.shape == (horizon,)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.diff(weights) <= 1e-12).all()
    assert (weights[: min(delay, horizon - execute)] == 1).all()
    assert not weights[horizon - execute :].any()


def test_a_delay_beyond_the_horizon_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="lower the rate"):
        prefix_weights(16, 17, 4)
