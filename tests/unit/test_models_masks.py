# SPDX-License-Identifier: Apache-2.0
"""Who may attend to whom: the table of each variant, proven by changing one group and looking at the others."""

from __future__ import annotations

import pytest
import torch

from tests.models_support import micro_model, noisy, observed
from wam_ros.models.masks import attention_mask, procedure, table

# Written out from the description of the released masks: rows ask, columns are read.
EXPECTED = {
    ("main", True): {"first": "first", "future": "first future", "action": "first action"},
    ("joint", True): {"first": "first", "future": "first future", "action": "first future action"},
    ("idm", True): {
        "first": "first",
        "future": "first future",
        "seen_first": "seen_first",
        "seen": "seen_first seen",
        "action": "seen_first seen action",
    },
    ("idm", False): {"first": "first", "future": "first future", "action": "first future action"},
}


@pytest.mark.parametrize(("of", "training"), EXPECTED)
def test_masks_are_the_released_table(of, training):
    expected = EXPECTED[of, training]
    groups = [(group, 2 + i) for i, group in enumerate(expected)]
    mask = attention_mask(groups, groups, table(of, training=training))
    row = 0
    for query, n in groups:
        column = 0
        for key, m in groups:
            block = mask[row : row + n, column : column + m]
            assert bool(block.all()) == bool(block.any()) == (key in expected[query].split())
            column += m
        row += n


@pytest.mark.parametrize(
    ("variant", "mode", "expected"),
    [
        ("main", "idm", "main"),
        ("no_co_train", "idm", "main"),
        ("joint", "idm", "joint"),
        ("idm", "first_frame", "idm"),
        ("optional_idm", "idm", "idm"),
        ("optional_idm", "first_frame", "main"),
    ],
)
def test_each_variant_has_its_procedure(variant, mode, expected):
    assert procedure(variant, mode) == expected


def change(inputs, group: str):
    """Change one token of one group; the state and the text stay."""
    seen, given = inputs
    if group == "first":
        latent = seen.latent.clone()
        latent[0, 0, 0, 0, 0] += 1.0
        return seen._replace(latent=latent), given
    field = {"future": "future", "seen": "seen", "action": "actions"}[group]
    tensor = getattr(given, field).clone()
    tensor[0].view(-1)[-1] += 1.0
    return seen, given._replace(**{field: tensor})


# What each output may depend on: transitively, since a token also reads what its keys have read.
DEPENDS = {
    "main": {"future": {"first", "future"}, "actions": {"first", "action"}},
    "no_co_train": {"future": {"first", "future"}, "actions": {"first", "action"}},
    "joint": {"future": {"first", "future"}, "actions": {"first", "future", "action"}},
    "idm": {"future": {"first", "future"}, "actions": {"first", "seen", "action"}},
    "optional_idm": {"future": {"first", "future"}, "actions": {"first", "seen", "action"}},
}


@pytest.mark.parametrize("run", ["masked", "predict"])
@pytest.mark.parametrize("variant", DEPENDS)
def test_a_forbidden_token_changes_nothing_and_an_allowed_one_does(variant, run):
    model = micro_model(variant, stem=False)
    inputs = observed(model.params), noisy(model.params)
    before = getattr(model, run)(*inputs)
    groups = ["first", "future", "action"] + (["seen"] if inputs[1].seen is not None else [])
    for group in groups:
        after = getattr(model, run)(*change(inputs, group))
        for output in ("future", "actions"):
            moved = not torch.equal(getattr(before, output)[0], getattr(after, output)[0])
            assert moved == (group in DEPENDS[variant][output]), f"{group} -> {output}"


@pytest.mark.parametrize("run", ["masked", "predict"])
def test_the_coin_hides_the_future_from_the_actions_of_a_sample(run):
    model = micro_model("optional_idm")
    seen, given = observed(model.params), noisy(model.params)
    assert given.sees_future.tolist() == [True, False]
    other = given._replace(seen=given.seen + 1.0)
    before, after = (getattr(model, run)(seen, g).actions for g in (given, other))
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_the_first_frame_reads_nothing_but_itself():
    model = micro_model("joint")
    seen, given = observed(model.params), noisy(model.params)
    scene = model.look(seen)
    again = model.look(seen)
    model.imagine(scene, given.future, given.future_time)
    for (k, v), (k2, v2) in zip(scene.memory, again.memory, strict=True):
        assert torch.equal(k, k2)
        assert torch.equal(v, v2)
