# SPDX-License-Identifier: Apache-2.0
"""Work of the Wan2.2 VAE, convolution by convolution, as (positions, weights) pairs."""

from __future__ import annotations

Convolutions = list[tuple[int, int]]

ENCODER_WIDTHS = (160, 160, 320, 640, 640)
DECODER_WIDTHS = (1024, 1024, 1024, 512, 256)
HALVED_IN_TIME = (False, True, True)


def encoder_convolutions(pixels: int, *, frames: int = 1, causal: bool = True) -> Convolutions:
    """Return the convolutions that encode a clip.

    Args:
        pixels: of one frame.
        frames: of the clip, 1 + 4 n.
        causal: of depth 3 in time; otherwise two-dimensional, which is the same for one frame.
    """
    square, positions = 9 * (3 if causal else 1), pixels // 4
    shapes = [(positions * frames, square * 12 * ENCODER_WIDTHS[0])]
    for level, (a, b) in enumerate(zip(ENCODER_WIDTHS, ENCODER_WIDTHS[1:], strict=False)):
        shapes += [(positions * frames, square * a * b)] + 3 * [(positions * frames, square * b * b)]
        if a != b:
            shapes.append((positions * frames, a * b))
        if level < len(HALVED_IN_TIME):
            positions //= 4
            shapes.append((positions * frames, 9 * b * b))
            if HALVED_IN_TIME[level] and frames > 1:
                frames = (frames + 1) // 2
                shapes.append((positions * (frames - 1), 3 * b * b))
    top, positions = ENCODER_WIDTHS[-1], positions * frames
    shapes += 4 * [(positions, square * top * top)] + [(positions, 4 * top * top)]
    return [*shapes, (positions, square * top * 96), (positions, 96 * 96)]


def decoder_convolutions(pixels: int, *, latent_frames: int) -> Convolutions:
    """Return the convolutions that decode a clip of so many latent frames."""
    top, frames, positions = DECODER_WIDTHS[0], latent_frames, pixels // 256
    at_top = positions * frames
    shapes = [(at_top, 48 * 48), (at_top, 27 * 48 * top), *4 * [(at_top, 27 * top * top)], (at_top, 4 * top * top)]
    for level, (a, b) in enumerate(zip(DECODER_WIDTHS, DECODER_WIDTHS[1:], strict=False)):
        shapes += [(positions * frames, 27 * a * b)] + 5 * [(positions * frames, 27 * b * b)]
        if a != b:
            shapes.append((positions * frames, a * b))
        if level < len(HALVED_IN_TIME):
            if HALVED_IN_TIME[::-1][level]:
                shapes.append((positions * (frames - 1), 3 * b * 2 * b))
                frames = 2 * frames - 1
            positions *= 4
            shapes.append((positions * frames, 9 * b * b))
    return [*shapes, (positions * frames, 27 * DECODER_WIDTHS[-1] * 12)]
