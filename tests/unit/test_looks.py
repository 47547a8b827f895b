# SPDX-License-Identifier: Apache-2.0
"""Other looks of what was recorded: what they change, what they leave alone, and that a window shares one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
from wam_ros.core.errors import ConfigError
from wam_ros.core.policy import Cell
from wam_ros.models.latent import PixelCodec
from wam_ros.models.params import sized
from wam_ros.models.text import hashed_text
from wam_ros.overrides import parse, with_values
from wam_ros.training.data import Windows, z_scores
from wam_ros.training.looks import AS_RECORDED, Drawn, Looks, redrawn, redrawn_deep
from wam_ros.training.spec import load_spec
from wam_ros.training.synthetic import reach_episodes

EVERYTHING = Looks(1.0, 0.3, 0.2, 0.5, 0.4, 0.2, 0.02, 0.03)
CELLS = (Cell("head", 0, 0, 8, 12), Cell("left", 8, 0, 4, 6), Cell("right", 8, 6, 4, 6))


def drawn(gamma=1.0, roll=0.0, shift=(0.0, 0.0)):
    return Drawn(torch.eye(3)[None], torch.tensor([gamma]), torch.tensor([roll]), torch.tensor([shift]).float())


def clips(count=2, frames=3, height=12, width=12):
    return 2 * torch.rand(count, 3, frames, height, width, generator=torch.Generator().manual_seed(0)) - 1


def test_what_is_drawn_with_a_share_of_zero_is_what_was_recorded_and_draws_no_number():
    before, pictures = torch.get_rng_state(), clips()
    assert redrawn(pictures, CELLS, AS_RECORDED) is pictures
    assert torch.equal(torch.get_rng_state(), before)


def test_ranges_of_zero_change_nothing():
    torch.testing.assert_close(redrawn(clips(), CELLS, Looks(share=1.0)), clips(), atol=1e-5, rtol=0)


@given(right=st.integers(-3, 3), down=st.integers(-3, 3))
@settings(max_examples=20, deadline=None)
def test_a_shift_by_whole_pixels_moves_every_pixel_and_repeats_the_border(right, down):
    picture = clips(count=1, height=8, width=12)
    moved = drawn(shift=(right / 12, down / 8)).displaced(picture)
    rows, columns = (np.arange(8) - down).clip(0, 7), (np.arange(12) - right).clip(0, 11)
    torch.testing.assert_close(moved, picture[..., rows, :][..., columns], atol=1e-4, rtol=0)


def test_a_picture_rolls_without_being_stretched():
    square = clips(count=1, height=9, width=9)
    rolled = drawn(roll=math.pi / 2).displaced(square)
    assert min((rolled - torch.rot90(square, k, dims=(-2, -1))).abs().max() for k in (1, 3)) < 1e-4
    wide = torch.zeros(1, 1, 21, 41)
    wide[..., 10, 25] = 1.0  # five pixels beside the middle; a quarter turn brings it five above or below
    rolled = drawn(roll=math.pi / 2).displaced(wide)[0, 0]
    assert rolled.argmax().item() in {5 * 41 + 20, 15 * 41 + 20}


@given(seed=st.integers(0, 1000), level=st.floats(-0.9, 0.9))
@settings(max_examples=30, deadline=None)
def test_hue_and_saturation_leave_grey_alone(seed, level):
    torch.manual_seed(seed)
    grey = torch.full((4, 3, 1, 2, 2), level)
    torch.testing.assert_close(
        Looks(1.0, hue_rad=1.0, saturation=0.5).draw(4).recoloured(grey), grey, atol=1e-5, rtol=0
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_brightness_scales_light_within_its_range(seed):
    torch.manual_seed(seed)
    light = torch.full((8, 3, 1, 2, 2), 0.4)
    lit = (Looks(1.0, brightness=0.3).draw(8).recoloured(2 * light - 1) + 1) / 2
    gain = lit / light
    assert ((gain > 0.699) & (gain < 1.301)).all()
    assert gain.flatten(1).std(dim=1).max() < 1e-5
    assert gain[:, 0, 0, 0, 0].std() > 0.01


def test_an_exponent_bends_light_and_leaves_black_and_white():
    light = torch.tensor([0.0, 0.5, 1.0]).expand(1, 3, 3)
    bent = (drawn(gamma=2.0).recoloured(2 * light - 1) + 1) / 2
    torch.testing.assert_close(bent, torch.tensor([0.0, 0.25, 1.0]).expand(1, 3, 3))


def test_all_frames_of_a_window_share_a_look_and_each_view_has_its_own():
    torch.manual_seed(0)
    still = clips(count=4, frames=1).expand(-1, -1, 3, -1, -1)
    seen = redrawn(still, CELLS, EVERYTHING)
    torch.testing.assert_close(seen, seen[:, :, :1].expand_as(seen), atol=1e-5, rtol=0)
    alike = torch.full((1, 3, 1, 12, 12), 0.2)
    alike[:, 0] = -0.3
    seen = redrawn(alike, CELLS, EVERYTHING)[0, :, 0]
    head, left, right = (seen[:, c.top : c.top + c.height, c.left : c.left + c.width].flatten(1) for c in CELLS)
    means = [view.mean(dim=1) for view in (head, left, right)]
    assert min((a - b).abs().max() for a, b in zip(means, means[1:] + means[:1], strict=True)) > 0.01
    assert max(view.std(dim=1).max() for view in (head, left, right)) < 1e-5, "a view looks into its neighbour"


def test_the_share_of_views_that_look_other_than_recorded():
    torch.manual_seed(0)
    grey = torch.full((4000, 3, 1, 1, 1), 0.1)
    changed = (Looks(0.7, brightness=0.3).draw(4000).recoloured(grey) - grey).abs().amax(dim=(1, 2, 3, 4)) > 1e-6
    assert changed.float().mean() == pytest.approx(0.7, abs=0.03)


def test_depth_moves_with_its_picture_and_keeps_its_values():
    torch.manual_seed(3)
    depths = torch.zeros(6, 2, 1, 20, 20)
    depths[..., 8:12, 8:12] = 0.7
    marked = (depths[:, :, None].expand(-1, -1, 3, -1, -1, -1) > 0) * 2.0 - 1
    seen, deep = redrawn_deep(marked, depths, Looks(1.0, shift=0.2))
    assert torch.equal(deep.unique(), depths.unique())
    assert not torch.equal(deep, depths)
    # Nearest and bilinear agree but for the edge's own pixels.
    assert ((seen[:, :, 0] > 0) != (deep > 0)).float().mean() < 0.05


def test_a_window_shows_another_look_each_time_and_the_same_vectors():
    params = sized("tiny", picture_height=32, picture_width=32, action_dim=2, proprio_dim=2)
    episodes = reach_episodes(params, 2)
    codec = PixelCodec(params.latent)
    codec.fit(torch.from_numpy(np.concatenate([e.frames for e in episodes])).permute(0, 3, 1, 2).float() / 127.5 - 1)
    embed = lambda text: hashed_text(text, params.text_length, params.video.text_dim)[0]  # noqa: E731
    cells = (Cell("picture", 0, 0, 32, 32),)
    windows = Windows(episodes, params, z_scores(episodes), embed, looks=EVERYTHING, cells=cells)
    torch.manual_seed(0)
    one, other = windows.batch([5], codec), windows.batch([5], codec)
    torch.manual_seed(0)
    again = windows.batch([5], codec)
    assert torch.equal(one.future, again.future)
    assert not torch.equal(one.future, other.future)
    assert torch.equal(one.actions, other.actions)
    assert torch.equal(one.observed.proprio, other.observed.proprio)
    # The first picture is what the first latent was made of.
    torch.testing.assert_close(codec.encode_clip(one.observed.picture[:, :, None]), one.observed.latent)


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"hue_rad": 4.0}, {"shift": -0.1}])
def test_a_range_that_cannot_be_is_refused_by_its_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Looks(**wrong)


def test_looks_can_be_chosen_for_a_training():
    spec = with_values(load_spec("fastwam_towel_tiny"), [parse("train.demonstrations.looks.share=0.25")])
    assert spec.demonstrations.looks.share == 0.25
