# SPDX-License-Identifier: Apache-2.0
"""The objective follows the released rules; the loop learns, averages, resumes and exports what the node loads."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
from wam_ros.core.card import VectorLayout
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.files.assets import load_policy, load_robot
from wam_ros.files.card import read_card
from wam_ros.models.checkpoint import read_tensors
from wam_ros.models.fastwam import build
from wam_ros.models.latent import PixelCodec
from wam_ros.models.params import DiTParams, sized
from wam_ros.models.text import hashed_text
from wam_ros.training import samples
from wam_ros.training.data import Episode, Normalisers, Windows, chunks, endless, frame_offsets, normalisers, z_scores
from wam_ros.training.demonstrations import Demonstrations
from wam_ros.training.examples import beginnings, foreseeable
from wam_ros.training.loop import Training
from wam_ros.training.objective import Objective, ObjectiveOptions
from wam_ros.training.optimisers import optimisers
from wam_ros.training.options import TrainOptions
from wam_ros.training.spec import load_spec, train
from wam_ros.training.start import maps_of, take_weights
from wam_ros.training.synthetic import reach_episodes

NARROW = DiTParams(hidden=64, ffn=128, layers=2, heads=2, head_dim=24, text_dim=32, freq_dim=32)
SMALL = dataclasses.replace(
    sized("tiny", picture_height=32, picture_width=32, action_dim=2, proprio_dim=2), video=NARROW, action=NARROW
)
VARIANTS = ["main", "joint", "idm", "no_co_train", "optional_idm"]


def windows_of(params, count=6):
    episodes = reach_episodes(params, count)
    codec = PixelCodec(params.latent)
    frames = torch.from_numpy(np.concatenate([e.frames for e in episodes])).permute(0, 3, 1, 2).float() / 127.5 - 1
    codec.fit(frames)
    embed = lambda prompt: hashed_text(prompt, params.text_length, params.video.text_dim)[0]  # noqa: E731
    return Windows(episodes, params, z_scores(episodes), embed), codec


def options_for(variant, **changes):
    lam = 0.0 if variant == "no_co_train" else 1.0
    return ObjectiveOptions(lambda_video=lam, **changes)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def test_a_window_after_the_end_repeats_the_last_row_and_does_not_count_it():
    windows, codec = windows_of(SMALL, count=1)
    batch = windows.batch([0, len(windows) - 1], codec)
    assert batch.rows_valid.sum(dim=1).tolist() == [16, 1]
    assert batch.frames_valid.tolist() == [[True, True], [False, False]]
    assert torch.equal(batch.actions[1, 1:], batch.actions[1, :1].expand(15, -1))


def test_an_error_is_no_example_and_nobody_is_asked_to_foresee_it():
    (episode,) = reach_episodes(SMALL, 1)
    examples = np.ones(len(episode.frames), dtype=bool)
    examples[5:8] = False
    erring = dataclasses.replace(episode, examples=examples)
    embed = lambda _: torch.zeros(SMALL.text_length, SMALL.video.text_dim)  # noqa: E731
    codec = windows_of(SMALL, count=1)[1]
    windows = Windows([erring], SMALL, z_scores([erring]), embed)
    assert len(windows) == len(episode.frames) - 3
    often = Windows([erring], SMALL, z_scores([erring]), embed, turns=3)
    turning = min(10, len(episode.frames) - 8)  # rows after the error, in which it is made good
    assert len(often) == len(windows) + 2 * turning
    assert beginnings(4, np.ones(4, bool), 3) == [0, 1, 2, 3], "nobody erred"
    assert beginnings(30, np.arange(30) != 7, 2) == [*range(7), *np.repeat(range(8, 18), 2), *range(18, 30)]
    batch = windows.batch([0, 4, 5], codec)  # they begin at rows 0, 4 and 8
    assert batch.rows_valid.sum(dim=1).tolist() == [5, 1, min(16, len(episode.frames) - 8)]
    assert batch.frames_valid[:2].tolist() == [[False, False], [False, False]]


def test_rows_as_differences_mean_the_same_positions_and_no_move_is_cut_off():
    (episode,) = reach_episodes(SMALL, 1, 0, 400)
    rng = np.random.default_rng(0)
    path = rng.normal(0, 0.001, episode.states.shape)  # at rest, but for the end
    path[-2:] += 1.0
    moved = dataclasses.replace(episode, states=path, actions=path + 0.01)
    relative = (True, False)
    maps = normalisers([moved], SMALL.horizon, relative)
    embed = lambda _: torch.zeros(SMALL.text_length, SMALL.video.text_dim)  # noqa: E731
    batch = Windows([moved], SMALL, maps, embed, relative=relative).batch([390], windows_of(SMALL, count=1)[1])
    rows = maps.action.inverse(batch.actions[0].double().numpy())
    positions = rows + np.array(relative) * moved.states[390]
    valid = batch.rows_valid[0].numpy()
    np.testing.assert_allclose(positions[valid], moved.actions[390 : 390 + valid.sum()], atol=1e-5)


def test_each_row_of_differences_fills_the_same_range():
    (episode,) = reach_episodes(SMALL, 1, 0, 400)
    walk = np.cumsum(np.random.default_rng(0).normal(0, 0.01, episode.states.shape), axis=0)
    walking = dataclasses.replace(episode, states=walk, actions=walk)
    maps = normalisers([walking], SMALL.horizon, (True, True))
    rows = chunks(walking, np.arange(300), SMALL.horizon, (True, True))
    spread = maps.action.forward(rows)[:, 1:].std(axis=0)
    assert spread.max() < 2 * spread.min()  # one map for all would give the last row several times the spread


@pytest.mark.parametrize("relative", [(), (True, False)])
@pytest.mark.parametrize("seed", range(5))
def test_a_state_that_strays_is_led_back_to_the_same_positions(relative, seed):
    torch.manual_seed(seed)
    (episode,) = reach_episodes(SMALL, 1, 0, 400)
    at_rest = dataclasses.replace(episode, actions=episode.states)  # what leads back is wider than any first row
    embed = lambda _: torch.zeros(SMALL.text_length, SMALL.video.text_dim)  # noqa: E731
    maps, codec = normalisers([at_rest], SMALL.horizon, relative, 0.1), windows_of(SMALL, count=1)[1]
    batch = Windows([at_rest], SMALL, maps, embed, 0.1, relative).batch(range(300), codec)
    seen = maps.state.inverse(batch.observed.proprio.double().numpy())
    scale = np.subtract(maps.state.high, maps.state.low) / 2
    strays = ((seen - at_rest.states[:300]) / scale).std()
    assert 0.08 < strays < 0.12  # 600 draws of 0.1: seven deviations of what a sample's deviation strays
    rows = maps.action.inverse(batch.actions.double().numpy())
    positions = rows + seen[:, None] * np.array(relative or (False, False))
    wanted = chunks(at_rest, np.arange(300), SMALL.horizon, ())
    np.testing.assert_allclose(positions, wanted, atol=1e-5)


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_every_window_ends_before_the_next_error(examples):
    good = np.array(examples)
    ends = foreseeable(len(good), good)
    for n in beginnings(len(good), good):
        assert good[n : ends[n]].all()
        assert ends[n] == len(good) or not good[ends[n]]


def test_frames_lie_evenly_over_the_horizon():
    assert frame_offsets(SMALL).tolist() == [0, 8, 16]
    assert frame_offsets(sized("full")).tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32]


def test_episodes_of_another_size_are_refused():
    windows, _ = windows_of(SMALL, count=1)
    other = reach_episodes(dataclasses.replace(SMALL, action_dim=3), 1)
    with pytest.raises(DatasetError, match="train a model of these sizes"):
        Windows(other, SMALL, windows._maps, lambda _: torch.zeros(8, 32))
    with pytest.raises(DatasetError, match="as many states"):
        Episode(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((3, 1)), np.zeros((2, 1)), "x")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_that_predicts_zero_velocity_has_the_expected_loss(variant):
    # Heads start at zero, so the error is the target itself: noise - clean, with variance 1 + clean^2.
    params = dataclasses.replace(SMALL, variant=variant, target="velocity")
    windows, codec = windows_of(params)
    torch.manual_seed(0)
    objective = Objective(build(params), options_for(variant, draws=32))
    batch = next(endless(windows, codec, 32, seed=0))
    losses = objective(batch)
    clean = batch.actions[batch.rows_valid].square().mean().item()
    # The weights' mean over even times is one by construction of the released schedule.
    assert losses.action.item() == pytest.approx(1 + clean, rel=0.15)
    assert losses.video.item() == 0 or variant != "no_co_train"


def test_rows_given_as_a_prefix_are_not_supervised():
    params = dataclasses.replace(SMALL, target="velocity")
    windows, codec = windows_of(params)
    batch = windows.batch([0, 1], codec)
    torch.manual_seed(0)
    objective = Objective(build(params), ObjectiveOptions(prefix_rows=15))
    given = objective._prefix(batch.actions)
    assert (given.long().diff(dim=1) <= 0).all(), "a prefix is the first rows"
    valid = batch.rows_valid.clone()
    valid[:, 15:] = False
    everything_given = torch.ones_like(valid)
    objective._prefix = lambda clean: everything_given[: len(clean)]
    assert objective(batch._replace(rows_valid=valid)).action.item() == 0


def test_options_that_a_variant_cannot_be_trained_with_are_refused():
    with pytest.raises(ConfigError, match="read every future"):
        Objective(build(dataclasses.replace(SMALL, variant="joint")), ObjectiveOptions(video_share=0.5))
    with pytest.raises(ConfigError, match="less than the horizon"):
        Objective(build(SMALL), ObjectiveOptions(prefix_rows=16))


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_run_that_is_resumed_continues_where_it_stopped(tmp_path, optimiser):
    windows, codec = windows_of(SMALL)

    def run(steps):
        torch.manual_seed(0)
        options = TrainOptions(
            steps=20, batch_size=8, checkpoint_every=10, log_every=5, warmup_steps=2, optimiser=optimiser
        )
        training = Training(
            Objective(build(SMALL), ObjectiveOptions()), dataclasses.replace(options, steps=steps), tmp_path
        )
        begun = training.step
        training.run(endless(windows, codec, 8, seed=training.step), quiet=True)
        return begun, training

    assert run(10)[0] == 0
    begun, training = run(20)
    assert begun == 10
    assert training.step == 20
    assert [row["step"] for row in training._metrics.rows] == [1, 5, 10, 15, 20]
    assert (tmp_path / "loss.svg").read_text().startswith("<?xml")
    assert (tmp_path / "model.safetensors").exists()
    other = {"adamw": "muon", "muon": "adamw"}[optimiser]
    with pytest.raises(ConfigError, match="belongs to another model or optimiser"):
        Training(Objective(build(SMALL), ObjectiveOptions()), TrainOptions(steps=20, optimiser=other), tmp_path)


def test_muon_has_the_matrices_of_the_blocks_and_adamw_all_else():
    model = build(SMALL)
    adamw, muon = optimisers(model, TrainOptions(steps=1, optimiser="muon"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = [[names[id(p)] for group in each.param_groups for p in group["params"]] for each in (adamw, muon)]
    assert sorted([*held[0], *held[1]]) == sorted(names.values()), "each once"
    assert all(".blocks." in name and name.endswith("weight") for name in held[1])
    assert not any(name.endswith(("self_attn.q.weight", "ffn.0.weight")) for name in held[0])
    assert len(optimisers(model, TrainOptions(steps=1))) == 1


def test_another_models_folder_is_refused(tmp_path):
    options = TrainOptions(steps=1, batch_size=2, checkpoint_every=1)
    windows, codec = windows_of(SMALL, count=1)
    Training(Objective(build(SMALL), ObjectiveOptions()), options, tmp_path).run(
        endless(windows, codec, 2, 0), quiet=True
    )
    other = dataclasses.replace(SMALL, action_dim=3)
    with pytest.raises(ConfigError, match="belongs to another model"):
        Training(Objective(build(other), ObjectiveOptions()), options, tmp_path)


@pytest.mark.parametrize("family", ["synthetic", "xwam_synthetic"])
def test_a_training_from_a_checkpoint_begins_with_its_weights_and_what_gives_them_their_meaning(family, tmp_path):
    options = TrainOptions(steps=1, batch_size=1, warmup_steps=1)
    spec = dataclasses.replace(load_spec(family), options=options)
    train(dataclasses.replace(spec, synthetic=type(spec.synthetic)(3)), tmp_path / "first", quiet=True)
    still = dataclasses.replace(options, learning_rate=0.0)
    more = dataclasses.replace(
        spec, synthetic=type(spec.synthetic)(2), options=still, begin_with=str(tmp_path / "first")
    )
    train(more, tmp_path / "second", quiet=True)
    first, second = (read_card(tmp_path / name) for name in ("first", "second"))
    assert read_tensors(tmp_path / "first").keys() == read_tensors(tmp_path / "second").keys()
    for name, tensor in read_tensors(tmp_path / "first").items():
        assert torch.equal(tensor, read_tensors(tmp_path / "second")[name]), name
    assert second.state_normaliser == first.state_normaliser
    assert second.action_normaliser == first.action_normaliser
    assert second.source.endswith("; from the weights of first")


def test_rows_of_another_kind_have_ranges_of_their_own_and_those_of_other_joints_are_refused(tmp_path):
    spec = dataclasses.replace(load_spec("synthetic"), options=TrainOptions(steps=1, batch_size=1))
    train(spec, tmp_path / "first", quiet=True)
    card = read_card(tmp_path / "first")
    fresh = Normalisers(dataclasses.replace(card.state_normaliser, clamp=1.0), card.state_normaliser)

    def maps(kind=card.action.kind, names=card.action.names):
        return maps_of(card, VectorLayout(kind, names), lambda: fresh, tmp_path)

    assert maps() == Normalisers(card.state_normaliser, card.action_normaliser)
    assert maps("joint_relative") == Normalisers(card.state_normaliser, fresh.action)
    with pytest.raises(ConfigError, match="joints of a row"):
        maps(names=card.action.names[::-1])


def test_a_training_from_a_checkpoint_of_something_else_is_refused_by_name(tmp_path):
    spec = dataclasses.replace(load_spec("synthetic"), options=TrainOptions(steps=1, batch_size=1))
    train(spec, tmp_path / "first", quiet=True)
    again = dataclasses.replace(spec, begin_with=str(tmp_path / "first"))
    with pytest.raises(ConfigError, match="horizon: expected 8, got 16"):
        train(dataclasses.replace(again, horizon=8), tmp_path / "second", quiet=True)
    with pytest.raises(ConfigError, match="family: expected xwam, got fastwam"):
        train(dataclasses.replace(load_spec("xwam_synthetic"), begin_with=again.begin_with), tmp_path, quiet=True)
    with pytest.raises(ConfigError, match="other sizes"):
        take_weights(torch.nn.Linear(2, 3), torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(ConfigError, match="nowhere"):
        train(dataclasses.replace(spec, begin_with="nowhere"), tmp_path / "third", quiet=True)


def test_a_file_where_the_run_should_be_is_named_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="got a file at"):
        train(load_spec("synthetic"), tmp_path / "file" / "run")


@pytest.mark.parametrize("variant", ["main", "joint"])
def test_a_sample_shows_for_each_window_what_came_and_what_was_predicted(variant, tmp_path, monkeypatch):
    windows, codec = windows_of(SMALL, count=2)
    model = build(dataclasses.replace(SMALL, variant=variant))
    shown = []
    monkeypatch.setattr(samples, "_draw_frames", lambda _axes, came, dreamt: shown.append((came, dreamt)))
    samples.draw_samples(model, windows, codec, tmp_path / "samples.png", count=2)
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    last = windows.batch([3 * len(windows) // 4], codec)
    assert len(shown) == 2
    for came, dreamt in shown:
        assert came.shape == dreamt.shape == (3, 32, 32, 3)
        np.testing.assert_array_equal(came[0], dreamt[0])
    truth = codec.decode(torch.cat((last.observed.latent, last.future), dim=2))[0].permute(1, 2, 3, 0)
    np.testing.assert_allclose(shown[-1][0], (truth.numpy() + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("variant", ["main", "joint", "idm"])
def test_a_small_model_learns_to_go_where_the_picture_says(variant, tmp_path):
    params = dataclasses.replace(SMALL, variant=variant)
    windows, codec = windows_of(params, count=4)
    torch.manual_seed(0)
    options = TrainOptions(steps=60, batch_size=16, learning_rate=3e-3, warmup_steps=10, log_every=5, ema=0.9)
    training = Training(Objective(build(params), options_for(variant, draws=2)), options, tmp_path)
    training.run(endless(windows, codec, 16, seed=0), quiet=True)
    losses = [row["action"] for row in training._metrics.rows]
    assert np.mean(losses[-2:]) < 0.5 * losses[0]


def test_windows_after_an_error_cannot_be_drawn_less_than_once():
    with pytest.raises(ConfigError, match="turns"):
        Demonstrations("sim_r1_lite", "fastwam_towel_tiny", turns=0).read(
            load_robot("sim_r1_lite"), load_policy("fastwam_towel_tiny")
        )
