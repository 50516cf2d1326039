"""The joint latent: a video stream (batch, 48, T, h, w) and an audio stream (batch, 1, L, 80) of one length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import repeat
from torch import Tensor
from torch.nn import functional

from .config import (
    AUDIO_TOKENS_PER_SECOND,
    LATENT_CHANNELS,
    MAX_LATENT_FRAMES,
    MEL_BANDS,
    SIZE_MULTIPLE,
    SPATIAL_COMPRESSION,
    TEMPORAL_COMPRESSION,
    audio_tokens,
    clip_seconds,
    is_still,
    latent_frames_for_seconds,
    pixel_frames,
)
from .tasks import TOKEN_SIDE, KeptParts, kept_masks, kept_tokens, past_tokens

Shape = tuple[int, ...]

MEL_MEAN = -5.1753
MEL_DEVIATION = 2.1544

WHOLE = 1e-4
"""Resizing may move a mask's 0 and 1 by less than this."""
HURRY = 1.5
"""Speech fits while it wants at most this many times the seconds that there are."""
MASK_NAME = "The noise mask of the LATENT"
MASK_ADVICE = (
    "UniAVGen keeps or generates squares of 32 × 32 pixels and whole tokens of the sound, the same in all clips of a "
    "batch. Take the LATENT as 'UniAVGen Latent' makes it, or give masks that are 0 (kept) or 1 (generated)."
)


def normalise_mel(mel: Tensor) -> Tensor:
    """Natural-log mel to the scale on which the model works. Any shape."""
    return (mel - MEL_MEAN) / MEL_DEVIATION


def denormalise_mel(mel: Tensor) -> Tensor:
    """The model's scale back to natural-log mel. Any shape."""
    return mel * MEL_DEVIATION + MEL_MEAN


def stream_shapes(latent_frames: int, width: int, height: int, batch: int = 1) -> tuple[Shape, Shape]:
    """Shapes of both streams for this many latent frames of width × height pixels."""
    rows, columns = height // SPATIAL_COMPRESSION, width // SPATIAL_COMPRESSION
    video = (batch, LATENT_CHANNELS, latent_frames, rows, columns)
    return video, (batch, 1, audio_tokens(pixel_frames(latent_frames)), MEL_BANDS)


def voice_shapes(latent_frames: int, width: int, height: int, batch: int = 1) -> tuple[Shape, Shape]:
    """Shapes of both streams of a sound that lasts so many latent frames, beside a still of width × height pixels."""
    video, audio = stream_shapes(latent_frames, width, height, batch)
    return (*video[:2], 1, *video[3:]), audio


def _is_voice(latent_frames: int, tokens: int) -> bool:
    """Whether streams so long are a still and the sound of whole latent frames."""
    return is_still(latent_frames, tokens) and tokens == audio_tokens(pixel_frames(sounding_frames(tokens)))


def sounding_frames(tokens: int) -> int:
    """Latent frames that last as long as so many audio tokens."""
    return latent_frames_for_seconds(tokens / AUDIO_TOKENS_PER_SECOND)


def stream_masks(kept: KeptParts, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Noise masks (1, 1, T, h, w) and (1, 1, L, 80): 0 where a part is kept, else 1."""
    video, audio = ((~mask)[None, None].float() for mask in kept_masks(kept, rows, columns))
    # Contiguous for those who write into them.
    return video.expand(-1, -1, -1, rows, columns).contiguous(), audio.expand(-1, -1, -1, MEL_BANDS).contiguous()


def pixel_mask(kept: KeptParts, rows: int, columns: int) -> Tensor:
    """What is generated (1) of the picture, and what is kept (0): (F, height, width) for a latent of rows × columns."""
    video = stream_masks(kept, rows, columns)[0][0, 0]
    frames = torch.tensor([1] + [TEMPORAL_COMPRESSION] * (len(kept.video) - 1))
    side = SPATIAL_COMPRESSION
    return repeat(video.repeat_interleave(frames, dim=0), "f h w -> f (h down) (w across)", down=side, across=side)


def whole_masks(masks: Sequence[Tensor]) -> list[Tensor]:
    """Noise masks of both streams in whole numbers, as they keep (0) or generate (1) whole video and audio tokens.

    A video token is kept where the mask is 0 over all of its 2 × 2 latents; what is generated grows to whole tokens.

    Args:
        masks: video (batch, channels, T, h, w) and audio (batch, 1, L, 80), as resized to the streams.

    Raises:
        ValueError: a mask of the sound is soft or of some bands, or one differs from clip to clip; it says where, and
            what works.
    """
    video, audio = masks
    return [_whole_video_mask(video), _whole_audio_mask(audio)]


def _whole_video_mask(mask: Tensor) -> Tensor:
    check_finite(MASK_NAME, mask)
    generated = _generated_tokens(mask)
    uneven = (generated != generated[:1]).any(dim=3).any(dim=2).any(dim=0).nonzero().flatten().tolist()
    if uneven:
        raise _uneven_mask("latent frame", uneven[0])
    latents = repeat(generated, "b t r c -> b 1 t (r down) (c across)", down=TOKEN_SIDE, across=TOKEN_SIDE)
    return latents[..., : mask.shape[3], : mask.shape[4]].expand(mask.shape).to(mask)


def _generated_tokens(mask: Tensor) -> Tensor:
    """(batch, T, rows, columns) whether a mask (batch, channels, T, h, w) generates any of each token's latents."""
    return functional.max_pool2d(mask.float().amax(dim=1), TOKEN_SIDE, ceil_mode=True) > WHOLE


def _whole_audio_mask(mask: Tensor) -> Tensor:
    check_finite(MASK_NAME, mask)
    low, high = mask.amin(dim=(1, 3)), mask.amax(dim=(1, 3))
    kept, generated = ((low - value).abs().maximum((high - value).abs()) <= WHOLE for value in (0, 1))
    faults = (~(kept | generated)).nonzero().tolist()
    if faults:
        clip, index = min(faults, key=lambda fault: fault[1])
        least, most = (round(float(values[clip, index]), 3) for values in (low, high))
        values = f"the value {least:g}" if least == most else f"values from {least:g} to {most:g}"
        raise ValueError(f"{MASK_NAME} holds {values} in sound token {index}. {MASK_ADVICE}")
    uneven = (kept != kept[:1]).any(dim=0).nonzero().flatten().tolist()
    if uneven:
        raise _uneven_mask("sound token", uneven[0])
    return mask.round()


def _uneven_mask(part: str, index: int) -> ValueError:
    return ValueError(f"{MASK_NAME} keeps {part} {index} in some clips of the batch only. {MASK_ADVICE}")


def kept_of(masks: Sequence[Tensor]) -> KeptParts:
    """What noise masks of both streams, as `whole_masks` gives them, keep: tokens where they are 0 in all clips."""
    video, audio = masks
    generated = _generated_tokens(video).any(dim=0).flatten(1)
    return kept_tokens(~generated, audio.amax(dim=(0, 1, 3)) == 0)


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse NaN and infinite values.

    Raises:
        ValueError: it names the input.
    """
    if tensor.numel() and not all(map(math.isfinite, torch.aminmax(tensor))):
        raise not_finite(name)


def not_finite(name: str) -> ValueError:
    """What is said of an input with such values."""
    return ValueError(f"{name} holds values that are not numbers (NaN or infinite): the node before it is at fault.")


def check_size(width: int, height: int) -> None:
    """Refuse sizes that the codec and the model cannot take.

    Raises:
        ValueError: width or height is not a positive multiple of 32.
    """
    for name, size in (("width", width), ("height", height)):
        if size < SIZE_MULTIPLE or size % SIZE_MULTIPLE:
            nearest = max(1, round(size / SIZE_MULTIPLE)) * SIZE_MULTIPLE
            raise ValueError(f"{name} is {size}: it must be a multiple of {SIZE_MULTIPLE}. The nearest is {nearest}.")


def check_seconds(seconds: float, name: str = "seconds") -> int:
    """Latent frames of a segment that lasts at least this many seconds.

    Args:
        name: the user's input that sets the length.

    Raises:
        ValueError: no time at all, or more than one segment takes.
    """
    longest = clip_seconds(MAX_LATENT_FRAMES)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{name} lasts {seconds:g} seconds: ask for more than 0, or let the length be automatic.")
    frames = latent_frames_for_seconds(seconds)
    if frames > MAX_LATENT_FRAMES:
        advice = "Make a longer clip with UniAVGen Long Form."
        if name != "seconds":
            advice = "Connect it to recording of UniAVGen Long Form, with a LATENT of task joint."
        raise ValueError(
            f"{name} lasts {seconds:.2f} seconds, more than one segment takes, which is {longest:.2f}. {advice} The "
            "model was trained on clips of 5 seconds."
        )
    return frames


def check_past(latent_frames: int, past_frames: int) -> int:
    """The clip's latent frames, where something is left to generate after the past.

    Raises:
        ValueError: the past alone is as long.
    """
    if latent_frames <= past_frames:
        raise ValueError(
            f"The clip lasts {clip_seconds(latent_frames):.2f} seconds with its kept past, which alone lasts "
            f"{clip_seconds(past_frames):.2f}: ask for more seconds, or keep fewer past_frames."
        )
    return latent_frames


def check_room(wanted: float, seconds: float, pace: float = 1.0) -> None:
    """Refuse words that clearly need more time than there is.

    Args:
        wanted: seconds that the words take.
        seconds: length of the clip.
        pace: of the voice, as in `speech_seconds`; the message names it.

    Raises:
        ValueError: the words want more than 1.5 times the clip's seconds.
    """
    if wanted <= seconds * HURRY:
        return
    wanted = clip_seconds(latent_frames_for_seconds(wanted))
    longest = clip_seconds(MAX_LATENT_FRAMES)
    advice = "make it longer" if wanted <= longest else f"one segment lasts at most {longest:.2f}: split it"
    voice = "" if pace == 1 else f" at this voice's pace, which is {pace:.1f} times the usual"
    raise ValueError(
        f"The speech wants about {wanted:.2f} seconds{voice}, the clip lasts {seconds:.2f}: {advice}, or shorten the "
        "speech."
    )


def check_shapes(shapes: Sequence[Sequence[int]]) -> None:
    """Refuse a latent that is not joint, or of another model.

    Raises:
        ValueError: it says what the latent is and what to connect.
    """
    advice = "Connect the LATENT of the node 'UniAVGen Latent'."
    check_two_streams(shapes, "UniAVGen", advice)
    video, audio = shapes
    if len(video) != 5 or video[1] != LATENT_CHANNELS or len(audio) != 4 or audio[1] != 1 or audio[3] != MEL_BANDS:
        raise ValueError(
            f"This LATENT is of another model: its streams are {_sizes(video)} and {_sizes(audio)}, UniAVGen's are "
            f"(batch, {LATENT_CHANNELS}, frames, rows, columns) and (batch, 1, tokens, {MEL_BANDS}). {advice}"
        )
    wanted = audio_tokens(pixel_frames(video[2]))
    if audio[2] != wanted and not _is_voice(video[2], audio[2]):
        raise ValueError(
            f"Picture and sound of this LATENT are not equally long: {video[2]} latent frames "
            f"({clip_seconds(video[2]):.2f} s) go with {wanted} audio tokens, but there are {audio[2]}. {advice}"
        )


def check_two_streams(shapes: Sequence[Sequence[int]], model: str, advice: str) -> None:
    """Refuse a latent that is not joint.

    Raises:
        ValueError: it says what the latent is, and the advice.
    """
    if len(shapes) != 2:
        kind = "a picture or video latent without sound" if len(shapes) == 1 else f"a latent of {len(shapes)} streams"
        raise ValueError(f"{model} samples picture and sound together, but this LATENT is {kind}. {advice}")


def last_tokens(audio: Tensor, past_frames: int) -> Tensor:
    """The sound (batch, 1, m, 80) of a clip's last k latent frames.

    Clips begin at whole latent frames of each other, 25 tokens, so that these fall on the tokens of a clip that starts
    k latent frames before the end.

    Raises:
        ValueError: the clip is shorter.
    """
    tokens = past_tokens(past_frames)
    if audio.shape[2] < tokens:
        raise ValueError(f"The past is shorter than the {past_frames} past_frames that are to be kept: keep fewer.")
    return audio[:, :, audio.shape[2] - tokens :]


def tokens_of_frames(frames: Sequence[int], latent_frames: int, tokens: int) -> list[int]:
    """Audio tokens that sound during these latent frames, each once, in the frames' order."""
    tokens_a_pixel_frame = tokens / pixel_frames(latent_frames)
    found: dict[int, None] = {}
    for frame in frames:
        end = max(1, round(pixel_frames(frame + 1) * tokens_a_pixel_frame))
        start = min(round(pixel_frames(frame) * tokens_a_pixel_frame), end - 1) if frame else 0
        found.update(dict.fromkeys(range(start, end)))
    return list(found)


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def describe_clip(video: Sequence[int], audio: Sequence[int]) -> str:
    """What a joint latent of two streams of these shapes holds, for people."""
    count, frames, tokens = video[0], video[2], audio[2]
    several = "" if count == 1 else f"{count} clips of "
    if is_still(frames, tokens):
        return f"{several}{tokens / AUDIO_TOKENS_PER_SECOND:.2f} s: sound alone"
    size = f"{video[4] * SPATIAL_COMPRESSION} × {video[3] * SPATIAL_COMPRESSION}"
    return f"{several}{clip_seconds(frames):.2f} s: {pixel_frames(frames)} frames of {size}, and their sound"
