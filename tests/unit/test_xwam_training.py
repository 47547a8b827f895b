# SPDX-License-Identifier: Apache-2.0
"""X-WAM's objective follows the released rules, and what it trains drives and sees depth."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
from scipy import stats

from tests.unit.dataset_support import FPS, HEIGHT, WIDTH, pictures_of, row_at, shade
from tests.xwam_checkpoint import policy_of
from tests.xwam_support import micro
from wam_ros.core.card import DepthCoding
from wam_ros.core.episode import layout_of, values_of
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.files.assets import load_robot
from wam_ros.files.card import read_card
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.models.params import DiTParams
from wam_ros.models.schedule import shifted
from wam_ros.models.xwam.checkpoint import load_codecs, load_model
from wam_ros.models.xwam.engine import Engine
from wam_ros.models.xwam.model import build
from wam_ros.models.xwam.params import sized
from wam_ros.models.xwam.sampling import Plan, noise_for
from wam_ros.training.ans import draw_times
from wam_ros.training.data import normalisers, z_scores
from wam_ros.training.demonstrations import Demonstrations
from wam_ros.training.options import TrainOptions
from wam_ros.training.spec import load_spec, train
from wam_ros.training.xwam_data import DeepEpisode, DeepWindows, endless_deep
from wam_ros.training.xwam_demonstrations import DeepSynthetic, deep_material
from wam_ros.training.xwam_objective import XWamObjective, XWamObjectiveOptions
from wam_ros.training.xwam_spec import fitted, train_xwam

COUNT = 100_000
CODING = DepthCoding(0.4, 2.0)
SMALL = dataclasses.replace(
    micro(stem=True, target="x0", horizon=8, action_dim=2, proprio_dim=2),
    dit=DiTParams(hidden=48, ffn=96, layers=2, heads=2, head_dim=24, text_dim=16, freq_dim=16),
    depth_layers=1,
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def drawn():
    torch.manual_seed(1)
    return draw_times(COUNT, 5.0, 0.5)


def even(sigma: torch.Tensor, shift: float = 5.0) -> np.ndarray:
    """Undo the shift."""
    s = sigma.double().numpy()
    return s / (shift - (shift - 1) * s)


def test_the_video_is_never_cleaner_than_the_actions(drawn):
    assert (drawn.video >= drawn.action).all()
    assert ((drawn.video >= 0) & (drawn.video <= 1)).all()


def test_half_of_the_samples_are_given_their_actions(drawn):
    assert drawn.given.float().mean() == pytest.approx(0.5, abs=0.01)
    assert (drawn.action[drawn.given] == 0).all()
    assert (drawn.action[~drawn.given] > 0).all()
    assert stats.kstest(even(drawn.video[drawn.given]), "uniform").pvalue > 1e-3


def test_the_gap_has_the_released_distribution_before_the_shift(drawn):
    video, action = (even(part[~drawn.given]) for part in (drawn.video, drawn.action))
    assert stats.kstest(action, "uniform").pvalue > 1e-3
    wide = action < 0.99  # where float32 leaves something of the quotient
    b = (video[wide] - action[wide]) / (1 - action[wide])
    assert stats.kstest(b, stats.beta(1.5, 1.0).cdf).pvalue > 1e-3
    assert shifted(0.5, 5.0) == pytest.approx(5 / 6)


def test_rows_may_begin_as_noise_more_often_and_the_video_is_noise_then():
    drawn = draw_times(COUNT, 5.0, 0.5, noise_probability=0.3)
    noise = drawn.action == 1
    assert noise.float().mean() == pytest.approx(0.5 * 0.3, abs=0.01), "what is given is given nonetheless"
    assert (drawn.video[noise] == 1).all()
    assert drawn.given.float().mean() == pytest.approx(0.5, abs=0.01)
    others = even(drawn.action[~drawn.given & ~noise])
    assert stats.kstest(others, "uniform").pvalue > 1e-3


def windows(params, episodes, noise=0.0, relative=()):
    codecs = fitted(episodes, params, CODING)
    embed = lambda text: torch.full((params.text_length, params.dit.text_dim), float(len(text)))  # noqa: E731
    maps = normalisers(episodes, params.horizon, relative)
    return DeepWindows(episodes, params, maps, CODING, embed, noise, relative), codecs


@pytest.fixture
def material():
    return DeepSynthetic(episodes=4, length=12).material(SMALL, "test")


def test_a_window_knows_what_lies_after_the_end(material):
    made, codecs = windows(SMALL, material.episodes[:1])
    batch = made.batch([0, len(made) - 1], codecs)
    assert batch.rows_valid.sum(1).tolist() == [8, 1]
    assert batch.states_valid.tolist() == [[True, True], [False, False]]
    assert batch.frames_valid.tolist() == [[True, True, True], [True, False, False]]
    assert batch.depth.shape == (2, *SMALL.video_shape)
    states = z_scores(material.episodes[:1]).state.forward(material.episodes[0].states)
    np.testing.assert_allclose(batch.observed.state[0], states[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batch.states[0], states[[4, 8]], rtol=1e-5, atol=1e-6)


def test_windows_after_an_error_are_drawn_more_often(material):
    examples = np.arange(len(material.episodes[0].frames)) != 2
    erring = [replace(material.episodes[0], examples=examples)]
    maps, text = z_scores(erring), torch.zeros(SMALL.text_length, SMALL.dit.text_dim)
    once, often = (DeepWindows(erring, SMALL, maps, CODING, lambda _: text, turns=turns) for turns in (1, 3))
    assert len(once) == len(examples) - 1
    assert len(often) == 2 + 3 * (len(examples) - 3)  # all others come within ten rows after it


def test_depth_may_be_learnt_from_a_part_of_the_batch(material):
    made, codecs = windows(SMALL, material.episodes[:1])
    batch, few = made.batch([0, 1, 2, 3], codecs), made.batch([0], codecs)

    def losses(batch, **options):
        torch.manual_seed(3)
        asked = XWamObjectiveOptions(clean_action_probability=1.0, text_dropout=0, **options)
        return XWamObjective(build(SMALL), asked, torch.zeros(SMALL.text_length, SMALL.dit.text_dim))(batch)

    # The depth head begins at zero, so that its loss is the mean square of what it was asked for.
    whole, part = losses(batch), losses(batch, depth_share=0.25)
    torch.testing.assert_close(part.depth, losses(few).depth)
    assert abs(part.depth - whole.depth) > 1e-3
    torch.testing.assert_close(part.video, whole.video)
    with pytest.raises(ConfigError, match="depth_share"):
        XWamObjectiveOptions(depth_share=0.0)


def test_a_part_of_the_batch_may_learn_rows_without_later_video(material):
    made, codecs = windows(SMALL, material.episodes[:1])
    batch = made.batch([0, 1, 2, 3], codecs)

    def losses(batch, share, probability=0.0):
        torch.manual_seed(3)
        shares = {"video_share": share, "depth_share": share}
        options = XWamObjectiveOptions(clean_action_probability=probability, text_dropout=0, **shares)
        model = build(SMALL)
        for head in (model.action_decoder[-1], model.proprio_decoder[-1]):
            torch.nn.init.normal_(head.weight, std=0.1)
        return XWamObjective(model, options, torch.zeros(SMALL.text_length, SMALL.dit.text_dim))(batch)

    told = batch._replace(video=batch.video.clone())
    told.video[2:] += 1.0
    # Rows of the second half are predicted without the video that the first half has.
    assert losses(batch, 0.5).action == losses(told, 0.5).action
    assert losses(batch, 1.0).action != losses(told, 1.0).action
    assert losses(batch, 0.5).video == losses(told, 0.5).video
    # Given rows teach video alone: where there is none, none are given.
    assert losses(batch, 1.0, probability=1.0).action == 0
    assert losses(batch, 0.5, probability=1.0).action > 0
    with pytest.raises(ConfigError, match="video_share"):
        XWamObjectiveOptions(video_share=0.25, depth_share=0.5)


def test_only_the_observed_state_strays_and_differences_lead_back(material):
    relative = (True,) * SMALL.action_dim
    maps = normalisers(material.episodes, SMALL.horizon, relative)
    made = (windows(SMALL, material.episodes, noise, relative) for noise in (0.0, 0.1))
    strict, straying = (of_kind.batch([0, 3], codecs) for of_kind, codecs in made)
    torch.testing.assert_close(straying.states, strict.states)
    assert 0.02 < (straying.observed.state - strict.observed.state).std() < 0.3
    wanted, found = (
        maps.action.inverse(b.actions.double().numpy()) + maps.state.inverse(b.observed.state.double().numpy())[:, None]
        for b in (strict, straying)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_depth_pictures_are_the_inverse_of_metres(material):
    made, codecs = windows(SMALL, material.episodes[:1])
    pictures = codecs.depth.decode(made.batch([0], codecs).depth)[0].mean(1)
    metres = CODING.inverse(pictures.double().numpy())[:, 0]
    # Halved in size where it is a picture, so between near and far it is the inverse that is averaged.
    coded = CODING.forward(material.episodes[0].depths_m[0])
    halved = coded.reshape(2, 16, 2, 24, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(metres, CODING.inverse(halved), rtol=1e-5)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A dataset with depth of three small cameras, the policy that it is for, and how many rows it has."""
    robot = load_robot("sim_r1_lite")
    cameras = tuple(dataclasses.replace(c, height=HEIGHT, width=WIDTH, rate_hz=FPS) for c in robot.cameras)
    robot = dataclasses.replace(robot, cameras=cameras)
    policy = dataclasses.replace(policy_of(tmp_path), rate_hz=float(FPS))
    layout = layout_of(robot, [cell.camera for cell in policy.mosaic.cells], depth=True)
    dataset = Dataset(tmp_path / "data", layout, robot)
    episode = dataset.begin(room=10_000)
    for frame in range(20):
        row = row_at(robot, frame)
        depth_m = row.depths[robot.cameras[0].name]
        depths = {c.name: depth_m + 0.2 * i * (depth_m > 0) for i, c in enumerate(robot.cameras)}
        row = dataclasses.replace(row, depths=depths)
        values = {**values_of(row, robot, layout.cameras), "instruction": row.instruction}
        assert episode.append(values, pictures_of(layout, row))
    dataset.close(episode, success="success")
    dataset.release()
    for name, found in (("load_robot", robot), ("load_policy", policy)):
        monkeypatch.setattr(f"wam_ros.training.xwam_demonstrations.{name}", lambda _, found=found: found)
    return Demonstrations(robot.name, policy.name, (str(tmp_path / "data"),)), policy, tmp_path / "out"


def test_recorded_demonstrations_with_depth_are_material(recorded):
    chosen, policy, folder = recorded
    chosen = replace(chosen, turns=4)
    params = sized("tiny", rate_hz=policy.rate_hz, action_dim=14, proprio_dim=14)
    for _ in range(2):  # the second time from what the first one decoded
        made = deep_material(chosen, params, policy.execute_rows, folder)
        (episode,) = made.episodes
        assert episode.frames.shape == (20, 3, 64, 80, 3)
        assert episode.depths_m.shape == (20, 3, 64, 80)
        for v, cell in enumerate(policy.mosaic.cells):
            camera = [c.name for c in load_robot("sim_r1_lite").cameras].index(cell.camera)
            assert np.median(episode.frames[7, v]) == pytest.approx(shade(7, camera), abs=6)
            assert np.median(episode.depths_m[7, v]) == pytest.approx(0.57 + 0.2 * camera, rel=0.01)
        # A lossy video brings zeros back as millimetres; they must not become the nearest thing there is.
        assert (CODING.forward(episode.depths_m[7][:, 0].astype(float)) == -1).all()
    assert made.mosaic == policy.mosaic
    assert made.turns == 4
    with pytest.raises(DatasetError, match="views"):
        deep_material(chosen, sized("tiny", view_height=32, rate_hz=15.0), policy.execute_rows, folder)
    with pytest.raises(DatasetError, match="rate_hz"):
        deep_material(chosen, sized("tiny", rate_hz=10.0), policy.execute_rows, folder)


def losses(objective, batch, seed=3):
    torch.manual_seed(seed)
    return objective(batch)


def of(options, material, model=None):
    made, codecs = windows(SMALL, material.episodes)
    no_text = torch.zeros(SMALL.text_length, SMALL.dit.text_dim)
    return XWamObjective(model or build(SMALL), options, no_text), made.batch(list(range(0, 24, 2)), codecs)


def test_given_actions_and_states_are_not_supervised(material):
    objective, batch = of(XWamObjectiveOptions(clean_action_probability=1.0), material)
    found = losses(objective, batch)
    assert found.action == found.state == 0
    assert found.video > 0
    assert found.depth > 0


def test_an_untrained_model_loses_the_squares_of_what_is_valid(material):
    """Outputs begin at zero, and the target is the clean sample, so each loss can be written down."""
    objective, batch = of(XWamObjectiveOptions(clean_action_probability=0.0), material)
    found = losses(objective, batch)

    def mean(values, valid):
        return float((values.square().flatten(2).mean(2) * valid).sum() / valid.sum())

    assert found.action.item() == pytest.approx(mean(batch.actions, batch.rows_valid), rel=1e-5)
    assert found.state.item() == pytest.approx(mean(batch.states, batch.states_valid), rel=1e-5)
    by_frame = batch.depth.transpose(1, 2)
    assert found.depth.item() == pytest.approx(mean(by_frame, batch.frames_valid), rel=1e-5)
    video = mean(batch.video.transpose(1, 2), batch.frames_valid[:, 1:])
    assert found.video.item() == pytest.approx(video, rel=1e-5)
    assert found.total.item() == pytest.approx(sum(float(x) for x in found[1:]), rel=1e-5)


def test_depth_is_left_out_where_it_weighs_nothing_and_teaches_the_trunk_where_it_does(material):
    for weight in (0.0, 1.0):
        options = XWamObjectiveOptions(0.0, 0.0, 0.0, weight, text_dropout=0.0)
        model = build(SMALL)
        torch.nn.init.normal_(model.depth_head.head.weight, std=0.1)
        objective, batch = of(options, material, model)
        found = losses(objective, batch)
        assert (found.depth > 0) == (weight > 0)
        if weight:
            found.total.backward()
            assert model.blocks[0].ffn[0].weight.grad.abs().sum() > 0


def test_options_and_episodes_that_cannot_be_are_refused(material):
    with pytest.raises(ConfigError, match="probabilities"):
        XWamObjectiveOptions(clean_action_probability=1.5)
    with pytest.raises(ConfigError, match="probabilities"):
        XWamObjectiveOptions(noise_probability=-0.1)
    e = material.episodes[0]
    with pytest.raises(DatasetError, match="views' size"):
        DeepEpisode(e.frames, e.depths_m[:, :, ::2], e.states, e.actions, e.prompt)
    with pytest.raises(DatasetError, match="sizes"):
        windows(dataclasses.replace(SMALL, action_dim=3), [e])


def test_training_leaves_a_checkpoint_that_loads_and_goes_on(tmp_path):
    spec = load_spec("xwam_synthetic")
    options = TrainOptions(steps=2, batch_size=1, log_every=1, checkpoint_every=1)
    spec = dataclasses.replace(spec, synthetic=DeepSynthetic(2), options=options)
    rows = train(spec, tmp_path, "test", quiet=True)
    assert [row["step"] for row in rows] == [1, 2]
    assert {"video", "action", "state", "depth"} <= rows[0].keys()
    more = dataclasses.replace(spec, options=dataclasses.replace(options, steps=3))
    assert [row["step"] for row in train_xwam(more, tmp_path, quiet=True)] == [1, 2, 3]
    card = read_card(tmp_path)
    assert (card.family, card.depth) == ("xwam", spec.depth)
    assert (tmp_path / "model.safetensors").stat().st_size < 16e6
    model, codecs = load_model(tmp_path, card), load_codecs(tmp_path, card)
    engine = Engine(model, codecs.pictures.encode_clip)
    p = model.sizes
    engine.ask(torch.zeros(1, p.text_length, p.dit.text_dim))
    engine.look(torch.zeros(1, p.views, 3, 64, 80), torch.zeros(1, p.proprio_dim))
    for event in engine.run(noise_for(p, 0), Plan("joint", 1, 2)):
        last = event
    assert torch.isfinite(last.imagined.depth).all()


def test_a_small_model_learns_to_act_and_to_see_depth(material):
    made, codecs = windows(SMALL, material.episodes, noise=0.01)
    objective = XWamObjective(build(SMALL), XWamObjectiveOptions(), torch.zeros(SMALL.text_length, 16))
    optimiser = torch.optim.AdamW(objective.parameters(), 3e-3)
    before = held(objective, made, codecs)
    for _, batch in zip(range(120), endless_deep(made, codecs, 8, 0), strict=False):
        step = objective(batch)
        optimiser.zero_grad()
        step.total.backward()
        optimiser.step()
    video, *others = held(objective, made, codecs) / before
    assert video < 0.9
    assert max(others) < 0.7


def held(objective, made, codecs):
    """Losses of always the same windows and draws."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        steps = [objective(batch) for _, batch in zip(range(6), endless_deep(made, codecs, 8, 1), strict=False)]
    return np.mean([[float(loss) for loss in step[1:]] for step in steps], axis=0)
