"""The interaction as arXiv 2511.03334 and the released model define it, literally: one token at a time, in float64,
with nothing shared or grouped. It is far too slow for anything but comparison.

Weights are the state dicts of the aligners and of the face mask's head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

HEAD_WIDTH = 128
TIME_PAIRS, ROW_PAIRS, COLUMN_PAIRS = 22, 21, 21

Weights = Mapping[str, Tensor]


def audio_window(frame: int, latent_frames: int, tokens: int) -> list[int]:
    """Audio tokens that a latent frame hears, repeated ones included."""
    spans = [_span(other, latent_frames, tokens) for other in range(latent_frames)]
    start, end = spans[frame]
    others = spans[1:] if latent_frames > 1 else spans
    missing = max(stop - begin for begin, stop in others) - (end - start)
    if start < 0:
        start -= missing
    elif end >= tokens:
        end += missing
    else:
        start -= missing // 2
        end += missing - missing // 2
    return [sorted((0, token, tokens - 1))[1] for token in range(start, end)]


def _span(frame: int, latent_frames: int, tokens: int) -> tuple[int, int]:
    tokens_a_frame = tokens / (4 * (latent_frames - 1) + 1)
    before, after = math.floor(2 * tokens_a_frame), math.ceil(2 * tokens_a_frame)
    if frame == 0:
        return -before, 1 + after
    first, last = 4 * frame - 3, 4 * frame + 1
    return math.floor(first * tokens_a_frame) - before, math.ceil(last * tokens_a_frame) + after


def frame_weights(token: int, latent_frames: int, tokens: int) -> Tensor:
    """How much an audio token sees of each latent frame (latent frames)."""
    frames = 4 * (latent_frames - 1) + 1
    position = token * frames / tokens
    a = max(0, min(math.floor(position), frames - 1))
    b = min(a + 1, frames - 1)
    weights = torch.zeros(latent_frames, dtype=torch.float64)
    weights[_latent_frame(b)] += 1 - (b - position)
    weights[_latent_frame(a)] += 1 - (position - a)
    return weights


def _latent_frame(pixel_frame: int) -> int:
    return 0 if pixel_frame == 0 else (pixel_frame - 1) // 4 + 1


def face_mask(weights: Weights, video: Tensor, time: Tensor, kept_video: Tensor) -> Tensor:
    """Face mask (T, N) of video tokens (T, N, width).

    `time` holds the embeddings (2, width) of timestep 0, which kept tokens (T, N) have, and of the step.
    """
    frames, tokens, _ = video.shape
    mask = torch.empty(frames, tokens, dtype=torch.float64)
    for frame in range(frames):
        for token in range(tokens):
            own_time = time[0 if kept_video[frame, token] else 1].double()
            shift, scale = weights["modulation"][0].double() + own_time
            x = video[frame, token].double()
            normed = (x - x.mean()) / (x.var(unbiased=False) + 1e-6).sqrt()
            mask[frame, token] = torch.sigmoid(_linear(weights, "head", normed * (1 + scale) + shift))
    return mask


def audio_to_video(weights: Weights, video: Tensor, audio: Tensor, mask: Tensor, columns: int) -> Tensor:
    """Update (T, N, video width) of video tokens (T, N, width) by audio (L, width), under the face mask (T, N)."""
    update = torch.empty(video.shape, dtype=torch.float64)
    for frame in range(video.shape[0]):
        window = audio_window(frame, video.shape[0], audio.shape[0])
        keys = [
            _rotate(_norm(weights, "norm_k", _linear(weights, "k", audio[token])), _window_angles(place))
            for place, token in enumerate(window)
        ]
        values = [_linear(weights, "v", audio[token]) for token in window]
        for token in range(video.shape[1]):
            q = _norm(weights, "norm_q", _linear(weights, "q", video[frame, token]))
            heard = _attend(_rotate(q, _picture_angles(*divmod(token, columns))), keys, values)
            update[frame, token] = _linear(weights, "o", heard * mask[frame, token])
    return update


def video_to_audio(weights: Weights, audio: Tensor, video: Tensor, mask: Tensor, columns: int) -> Tensor:
    """Update (L, audio width) of audio tokens (L, width) by video (T, N, width), under the face mask (T, N)."""
    masked = video.double() * mask.double().unsqueeze(-1)
    update = torch.empty(audio.shape, dtype=torch.float64)
    for token in range(audio.shape[0]):
        # A still, for more tokens than the six of one latent frame, is the same for all.
        still = video.shape[0] == 1 and audio.shape[0] > 6
        seen = (
            masked[0] if still else torch.einsum("t,tnc->nc", frame_weights(token, *map(len, (video, audio))), masked)
        )
        keys = [
            _rotate(_norm(weights, "norm_k", _linear(weights, "k", x)), _picture_angles(*divmod(place, columns)))
            for place, x in enumerate(seen)
        ]
        values = [_linear(weights, "v", x) for x in seen]
        q = _norm(weights, "norm_q", _linear(weights, "q", audio[token]))
        update[token] = _linear(weights, "o", _attend(q, keys, values))
    return update


def interaction(
    aligners: tuple[Weights, Weights, Weights],
    video: Tensor,
    audio: Tensor,
    time: Tensor,
    kept: tuple[Tensor, Tensor],
    columns: int,
) -> tuple[Tensor, Tensor]:
    """Video tokens (T, N, width) and audio tokens (L, width) after an interaction: what is kept takes no update.

    Args:
        aligners: A→V, V→A and the face mask's head.
        kept: whether each video token (T, N) and each audio token (L) is.
    """
    to_video, to_audio, head = aligners
    mask = face_mask(head, video, time, kept[0])
    heard = audio_to_video(to_video, video, audio, mask, columns)
    seen = video_to_audio(to_audio, audio, video, mask, columns)
    new_video, new_audio = video.double().clone(), audio.double().clone()
    for frame, token in (~kept[0]).nonzero().tolist():
        new_video[frame, token] += heard[frame, token]
    for token in (~kept[1]).nonzero().flatten().tolist():
        new_audio[token] += seen[token]
    return new_video, new_audio


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return weights[f"{name}.weight"].double() @ x.double() + weights[f"{name}.bias"].double()


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x / (x.square().mean() + 1e-6).sqrt() * weights[f"{name}.weight"].double()


def _picture_angles(row: int, column: int) -> Tensor:
    axes = (torch.zeros(TIME_PAIRS), row * _frequencies(ROW_PAIRS, 42), column * _frequencies(COLUMN_PAIRS, 42))
    return torch.cat(axes)


def _window_angles(place: int) -> Tensor:
    return torch.cat((place * _frequencies(TIME_PAIRS, HEAD_WIDTH), torch.zeros(ROW_PAIRS + COLUMN_PAIRS)))


def _frequencies(pairs: int, width: int) -> Tensor:
    return torch.tensor([10_000 ** (-2 * pair / width) for pair in range(pairs)], dtype=torch.float64)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.view(-1, HEAD_WIDTH // 2, 2))
    return torch.view_as_real(pairs * torch.exp(1j * angles.double())).flatten()


def _attend(q: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Attention of one query (width) to keys and values, head by head."""
    k, v = torch.stack(list(keys)), torch.stack(list(values))
    result = []
    for head in range(len(q) // HEAD_WIDTH):
        own = slice(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH)
        scores = k[:, own] @ q[own] / math.sqrt(HEAD_WIDTH)
        result.append(scores.softmax(dim=0) @ v[:, own])
    return torch.cat(result)
