# SPDX-License-Identifier: Apache-2.0
"""The block again, in fewer and larger operations: the same function of the same weights.

One matrix makes queries, keys and values; normalisation and modulation are one affine LayerNorm where all tokens
share a flow time; q and k are normalised and turned together; gates enter with the residual. The residual stream
stays in float32 whatever the weights' type (the released code keeps it in bfloat16). Matrices may be 8-bit floats
with one scale for each output, where the device multiplies them.

Pure functions of tuples of tensors, so that one compilation serves all layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wam_ros.models.attention import KeysValues, attend
from wam_ros.models.block import Block, Modulation
from wam_ros.models.rope import Rotation, rotate

FP8_MAX = 448.0


class Matrix(NamedTuple):
    """A linear layer: weight (out, in), bias (out,), and for 8-bit weights the scale (1, out) of each output."""

    weight: Tensor
    bias: Tensor
    scale: Tensor | None = None


class Layer(NamedTuple):
    """The weights of one block, grouped as they are used; norms in float32, see ``normed``."""

    qkv: Matrix
    norm_qk: Tensor
    out: Matrix
    norm_text: Matrix
    text_q: Matrix
    norm_text_q: Tensor
    text_out: Matrix
    ffn_in: Matrix
    ffn_out: Matrix
    floor: Tensor


def fuse(block: Block, *, fp8: bool = False) -> Layer:
    """Return a block's weights for ``project`` and ``finish``.

    The block's q, k and v become views of the fused matrix, so nothing is stored twice and the block still
    works; with ``fp8`` the large matrices are copied to 8 bits.
    """
    own, text = block.self_attn, block.cross_attn
    stored = quantised if fp8 else _as_it_is
    root = math.sqrt(own.q.out_features)
    return Layer(
        stored(merged([own.q, own.k, own.v])),
        torch.stack((own.norm_q.weight, own.norm_k.weight)).float() * root,
        stored(_matrix(own.o)),
        Matrix(block.norm3.weight.float(), block.norm3.bias.float()),
        stored(_matrix(text.q)),
        text.norm_q.weight.float() * root,
        stored(_matrix(text.o)),
        stored(_matrix(block.ffn[0])),
        stored(_matrix(block.ffn[2])),
        torch.tensor(root * math.sqrt(own.eps), device=own.norm_q.weight.device),
    )


def merged(linears: Sequence[nn.Linear]) -> Matrix:
    """Return one matrix for several layers with the same input; their parameters become views of it."""
    sizes = [linear.out_features for linear in linears]
    whole = Matrix(
        torch.cat([linear.weight.detach() for linear in linears]),
        torch.cat([linear.bias.detach() for linear in linears]),
    )
    for linear, weight, bias in zip(linears, whole.weight.split(sizes), whole.bias.split(sizes), strict=True):
        linear.weight.data, linear.bias.data = weight, bias
    return whole


def _matrix(linear: nn.Module) -> Matrix:
    assert isinstance(linear, nn.Linear)
    return Matrix(linear.weight.detach(), linear.bias.detach())


def _as_it_is(matrix: Matrix) -> Matrix:
    return matrix


def quantised(matrix: Matrix) -> Matrix:
    """Return the matrix in 8-bit floats (e4m3), scaled so that each output's largest weight is 448."""
    scale = matrix.weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / FP8_MAX
    return Matrix((matrix.weight.float() / scale).to(torch.float8_e4m3fn), matrix.bias, scale.t().contiguous())


def linear(x: Tensor, matrix: Matrix) -> Tensor:
    """Return x (..., in) through a matrix, in the type of its bias; 8-bit ones scale each token on the way."""
    x = cast(x, matrix.bias.dtype)
    if matrix.scale is None:
        return F.linear(x, matrix.weight, matrix.bias)
    rows = x.flatten(0, -2)
    scale = rows.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / FP8_MAX
    small = (rows.float() / scale).to(torch.float8_e4m3fn)
    out = torch._scaled_mm(small, matrix.weight.t(), scale, matrix.scale, bias=matrix.bias, out_dtype=x.dtype)
    return out.unflatten(0, x.shape[:-1])


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x in a type; ``Tensor.to`` costs a microsecond even when there is nothing to do."""
    return x if x.dtype == dtype else x.to(dtype)


def normed(x: Tensor, weight: Tensor, floor: Tensor) -> Tensor:
    """Return RMS-normalised x (..., inner), float32.

    x / sqrt(|x|^2 / n + eps) * w is x / hypot(|x|, sqrt(n eps)) * sqrt(n) w: four operations instead of the
    seven that a CPU makes of ``rms_norm``.

    Args:
        weight: (..., inner) holding the factor sqrt(n).
        floor: scalar sqrt(n eps).
    """
    x = x.float()
    return x / torch.hypot(torch.linalg.vector_norm(x, dim=-1, keepdim=True), floor) * weight


def modulated(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Return LayerNorm(x) * scale + shift; one operation where scale and shift (D,) are the same for all tokens."""
    if scale.dim() == 1:
        return torch.layer_norm(x, scale.shape, scale, shift, eps)
    return torch.addcmul(shift, torch.layer_norm(x, x.shape[-1:], eps=eps), scale)


def turned(x: Tensor, rotation: Rotation | Tensor) -> Tensor:
    """Return float32 heads (B, N, heads, head_dim) turned by their places."""
    if isinstance(rotation, tuple):
        return rotate(x, rotation)
    pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2)) * rotation
    return torch.view_as_real(pairs).view(x.shape)


def project(
    layer: Layer, x: Tensor, modulation: Modulation, rotation: Rotation | Tensor, heads: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys, values, each (B, N, heads, head_dim); see ``Block.project``.

    Args:
        rotation: cosine and sine, or a complex table (N, 1, head_dim / 2).
    """
    b, n, inner = x.shape[0], x.shape[1], layer.norm_qk.shape[1]
    qkv = linear(modulated(x, modulation.scale_attention, modulation.shift_attention, eps), layer.qkv)
    both, values = torch.split_with_sizes(qkv.view(b, n, 3, inner), (2, 1), 2)
    both = turned(normed(both, layer.norm_qk, layer.floor).view(b, n, 2 * heads, -1), rotation)
    queries, keys = torch.split_with_sizes(cast(both, qkv.dtype), (heads, heads), 2)
    return queries, keys, values.view(b, n, heads, -1)


def finish(
    layer: Layer, x: Tensor, attended: Tensor, modulation: Modulation, text: KeysValues, heads: int, eps: float
) -> Tensor:
    """Return the tokens (B, N, D) float32 after attention, text and feed-forward; see ``Block.finish``."""
    x = torch.addcmul(x, linear(attended, layer.out).float(), modulation.gate_attention)
    h = linear(torch.layer_norm(x, x.shape[-1:], layer.norm_text.weight, layer.norm_text.bias, eps), layer.text_q)
    queries = cast(normed(h, layer.norm_text_q, layer.floor), h.dtype).view(*h.shape[:-1], heads, -1)
    x = x + linear(attend(queries, *text), layer.text_out)
    h = linear(modulated(x, modulation.scale_ffn, modulation.shift_ffn, eps), layer.ffn_in)
    h = linear(F.gelu(h, approximate="tanh"), layer.ffn_out)
    return torch.addcmul(x, h.float(), modulation.gate_ffn)
