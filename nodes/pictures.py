"""Pictures as nodes get them: IMAGE or VIDEO."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

from comfy_api.latest import Input, InputImpl, Types, io
from torch import Tensor

from ..uniavgen_core.checks import check_finite, check_picture
from ..uniavgen_core.config import FRAME_RATE, LATENT_CHANNELS
from ..uniavgen_core.media.footage import Footage, FramesInMemory, VideoFile
from ..uniavgen_core.media.images import crop_and_resize, to_rgb
from .comfy_progress import check_interrupt


def frame_rate_input() -> io.Float.Input:
    return io.Float.Input(
        "frame_rate",
        default=float(FRAME_RATE),
        min=1.0,
        max=240.0,
        step=0.01,
        tooltip="Frames a second of the frames; UniAVGen makes 16. A VIDEO keeps its own.",
    )


def footage_of(name: str, picture: Tensor | Input.Video | None, frame_rate: float) -> Footage:
    """An IMAGE or VIDEO by its times. The frames of a file are decoded as they are asked for.

    Raises:
        ValueError: there are no frames, they hold no numbers, or the file cannot be read; the message names the input.
    """
    if isinstance(picture, InputImpl.VideoFromFile):
        try:
            start, seconds = picture.get_active_trim_window()
            return VideoFile(picture.get_stream_source(), start, seconds, check_interrupt)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    rate, audio = Fraction(frame_rate).limit_denominator(1001), None
    if picture is not None and not isinstance(picture, Tensor):
        parts = picture.get_components()
        picture, rate, audio = parts.images, Fraction(parts.frame_rate), parts.audio
    check_picture(name, picture)
    frames = cast(Tensor, picture)
    check_finite(name, frames)
    return FramesInMemory(frames, rate, None if audio is None else (audio["waveform"], audio["sample_rate"]))


def video_parts(name: str, picture: Tensor | Input.Video | None, frame_rate: float) -> Types.VideoComponents:
    """All frames, their rate and, of a VIDEO, the sound. Uneven frames of a file come at its average rate.

    Raises:
        ValueError: there are no frames, they hold no numbers, or the file cannot be read; the message names the input.
    """
    images, rate, sound = footage_of(name, picture, frame_rate).parts()
    audio = None if sound is None else {"waveform": sound[0], "sample_rate": sound[1]}
    return Types.VideoComponents(images=images, audio=audio, frame_rate=rate)


def check_masks(name: str, masks: Tensor) -> Tensor:
    """Masks (F, H, W) of an input, which may have fewer or more dimensions in front.

    Raises:
        ValueError: they are empty or hold no numbers; it names the input.
    """
    check_picture(name, masks)
    check_finite(name, masks)
    return masks.reshape(-1, *masks.shape[-2:])


def check_vae(vae: Any) -> None:
    """Refuse another VAE than Wan 2.2's.

    Raises:
        ValueError: it says what the VAE is and what to choose.
    """
    channels = getattr(vae, "latent_channels", None)
    if channels != LATENT_CHANNELS:
        raise ValueError(
            f"This VAE has {channels} latent channels, but UniAVGen needs the {LATENT_CHANNELS} of the Wan 2.2 VAE: "
            "choose wan2.2_vae.safetensors in Load VAE (the VAE of Wan 2.1 and of the 14B models is another one)."
        )


def encode_frames(vae: Any, frames: Tensor, width: int, height: int) -> Tensor:
    """Latent (1, 48, T, h, w) of frames (4(T-1)+1, H, W, channels), cropped to the size.

    Raises:
        ValueError: the VAE is not Wan 2.2's.
    """
    check_vae(vae)
    return vae.encode(crop_and_resize(to_rgb(frames), width, height))
