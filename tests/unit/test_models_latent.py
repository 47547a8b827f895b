# SPDX-License-Identifier: Apache-2.0
"""Pictures to latents: our one-frame path is the VAE's, and pixels survive the codec without weights."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.models.latent import PixelCodec, WanCodec, to_picture
from wam_ros.models.params import TINY


@pytest.fixture(scope="module")
def wan() -> WanCodec:
    pytest.importorskip("diffusers", reason="diffusers is not installed: no VAE to compare with")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    means, deviations = [0.1 * i for i in range(48)], [1 + 0.1 * i for i in range(48)]
    return WanCodec.random(
        "cpu", torch.float32, base_dim=8, decoder_base_dim=8, latents_mean=means, latents_std=deviations
    )


def clip(frames: int) -> torch.Tensor:
    return torch.rand(1, 3, frames, 64, 96, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_one_frame_is_the_vaes_own_encoding_normalised(wan):
    frame = clip(1)
    raw = wan._vae.encode(frame).latent_dist.mode()
    mean = torch.tensor(wan._vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(wan._vae.config.latents_std).view(1, -1, 1, 1, 1)
    latent = wan.encode(frame[:, :, 0])
    assert latent.shape == (1, 48, 1, 4, 6)
    assert_close(latent, (raw - mean) / std, rtol=0, atol=1e-5)


def test_the_first_latent_of_a_clip_is_the_latent_of_its_first_frame(wan):
    frames = clip(9)
    latents = wan.encode_clip(frames)
    assert latents.shape == (1, 48, 3, 4, 6)
    assert_close(wan.encode(frames[:, :, 0]), latents[:, :, :1], rtol=0, atol=1e-5)


def test_decoding_undoes_the_normalisation(wan):
    latents = torch.randn(1, 48, 3, 4, 6, generator=torch.Generator().manual_seed(4))
    mean = torch.tensor(wan._vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(wan._vae.config.latents_std).view(1, -1, 1, 1, 1)
    pictures = wan.decode(latents)
    assert pictures.shape == (1, 3, 9, 64, 96)
    assert_close(pictures, wan._vae.decode(latents * std + mean).sample, rtol=0, atol=1e-6)


def test_a_missing_vae_is_named(tmp_path):
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    with pytest.raises(ConfigError, match="VAE"):
        WanCodec.load(tmp_path / "vae", "cpu", torch.float32)


def test_pixels_come_back_at_half_size():
    codec = PixelCodec(TINY.latent)
    pictures = torch.rand(6, 3, 96, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codec.fit(pictures)
    latents = codec.encode(pictures)
    assert latents.shape == (6, 192, 1, 6, 5)
    assert_close(latents.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    assert_close(latents.std(), torch.tensor(1.0), rtol=0, atol=1e-3)
    small = torch.nn.functional.avg_pool2d(pictures, 2)
    assert_close(codec.decode(latents)[:, :, 0, ::2, ::2], small, rtol=0, atol=1e-5)


def test_a_clip_of_pixels_is_its_frames():
    codec = PixelCodec(TINY.latent)
    frames = torch.rand(2, 3, 3, 96, 80) * 2 - 1
    latents = codec.encode_clip(frames)
    assert latents.shape == (2, 192, 3, 6, 5)
    assert_close(latents[:, :, 1:2], codec.encode(frames[:, :, 1]))
    assert codec.decode(latents).shape == frames.shape


def test_statistics_of_the_pixel_codec_are_saved_with_the_weights():
    codec = PixelCodec(TINY.latent)
    codec.fit(torch.rand(3, 3, 96, 80))
    other = PixelCodec(TINY.latent)
    other.load_state_dict(codec.state_dict(), strict=True)
    picture = torch.rand(1, 3, 96, 80)
    assert torch.equal(codec.encode(picture), other.encode(picture))


def test_a_large_mosaic_is_averaged_to_the_picture():
    mosaic = torch.randint(0, 256, (2, 384, 320, 3), dtype=torch.uint8)
    picture = to_picture(mosaic, 96, 80)
    assert picture.shape == (2, 3, 96, 80)
    block = mosaic[1, 8:12, 4:8, 2].float().mean() / 127.5 - 1
    assert_close(picture[1, 2, 2, 1], block, rtol=0, atol=1e-6)
    whole = to_picture(mosaic, 384, 320)
    assert whole.min() >= -1
    assert_close(whole[0, 0, 0, 0], mosaic[0, 0, 0, 0].float() / 127.5 - 1)


@pytest.mark.parametrize(("height", "width"), [(95, 80), (96, 81), (768, 640), (192, 80)])
def test_a_mosaic_that_is_no_multiple_is_refused(height, width):
    with pytest.raises(ShapeError, match="mosaic"):
        to_picture(torch.zeros(1, 384, 320, 3, dtype=torch.uint8), height, width)
