"""A corpus clip made anew by the small model, in each of the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor

from ..audio.mel import log_mel, normalise_mel, peak_scale
from ..config import SAMPLE_RATE, pixel_frames
from ..joint_latent import tokens_of_frames
from ..pipeline import decode_audio, decode_video
from ..sampling.euler import Clip, Condition, sample_euler
from ..sampling.guidance import Guidance
from ..sampling.schedule import DEFAULT_SHIFT, DEFAULT_STEPS, flow_sigmas
from ..speech.prompt import negative_symbols, positive_symbols, reference_mel
from ..tasks import KeptParts, kept_prefix
from ..tiny.bundle import TinyBundle
from .predicted_masks import predicted_masks

if TYPE_CHECKING:
    from ..training.corpus import CorpusClip

TASKS = ("joint", "reference_voice", "continuation", "dubbing", "audio_driven")
CONTINUED_FRAMES = 3
"""Latent frames of the past that continuation is given, with their sound."""
LANGUAGE = "en"
GUIDANCE = {
    "none": Guidance(video_scale=1.0, audio_scale=1.0, skip_block=-1),
    "plain": Guidance(guided_part=0.0),
    "modality_aware": Guidance(guided_part=1.0),
    "window": Guidance(),
}
"""Forms of guidance to compare: none, classifier-free, modality-aware in all steps, and in the first half of them."""


@dataclass(frozen=True)
class Sampling:
    """How clips are sampled."""

    steps: int = DEFAULT_STEPS
    shift: float = DEFAULT_SHIFT
    guidance: str = "window"


@dataclass(frozen=True)
class Generated:
    """What came out, as a user gets it: given sound is the user's own."""

    frames: numpy.ndarray
    """(F, H, W, 3) of bytes."""
    sound: numpy.ndarray
    """(samples) at 24 kHz."""
    masks: numpy.ndarray
    """Predicted face masks (interactions, T, N)."""
    given_frames: int
    """Pixel frames from the first that were given."""


@torch.no_grad()
def generate(task: str, bundle: TinyBundle, corpus_clip: CorpusClip, partner: CorpusClip, how: Sampling) -> Generated:
    """Make a corpus clip anew, from its caption, its words and what the task gives of it.

    Args:
        task: one of TASKS.
        partner: another clip of the same person, who is the reference voice.
    """
    clip = _clip(task, bundle, corpus_clip, partner)
    transcript = partner.speech if clip.reference_audio is not None else None
    positive = _condition(bundle, corpus_clip.caption, positive_symbols(corpus_clip.speech, LANGUAGE, transcript))
    negative = _condition(bundle, "", negative_symbols(LANGUAGE, transcript))
    generator = torch.Generator().manual_seed(corpus_clip.seed)
    noise = (
        torch.randn(clip.video.shape, generator=generator),
        torch.randn(clip.audio.shape, generator=generator),
    )
    sigmas = flow_sigmas(how.steps, how.shift)
    with predicted_masks(bundle.model) as masks:
        streams = sample_euler(bundle.model, clip, noise, sigmas, positive, negative, GUIDANCE[how.guidance])
    video, audio = clip.put_back(*streams)
    return Generated(
        frames=to_bytes(decode_video(bundle, video)),
        sound=corpus_clip.sound if all(clip.kept.audio) else decode_audio(audio)[0].numpy(),
        masks=masks.numpy(),
        given_frames=pixel_frames(sum(clip.kept.video)),
    )


def to_bytes(frames: Tensor) -> numpy.ndarray:
    """Frames of values 0..1 as bytes."""
    return frames.mul(255).round().byte().numpy()


def _clip(task: str, bundle: TinyBundle, corpus_clip: CorpusClip, partner: CorpusClip) -> Clip:
    video = bundle.codec.encode_frames(torch.from_numpy(corpus_clip.frames).float() / 255)
    sound = torch.from_numpy(corpus_clip.sound).unsqueeze(0)
    # Sound that is given has its peak scaled; a past keeps its own loudness.
    audio = normalise_mel(log_mel(peak_scale(sound) if task == "audio_driven" else sound))
    reference = None
    if task == "reference_voice":
        voice = torch.from_numpy(partner.sound).view(1, 1, -1)
        reference = normalise_mel(reference_mel(voice, SAMPLE_RATE, partner.speech))
    return Clip(
        video=video,
        audio=audio.unsqueeze(1),
        kept=_kept(task, video.shape[2], audio.shape[1]),
        reference_image=video[:, :, :1],
        reference_audio=reference,
    )


def _kept(task: str, frames: int, tokens: int) -> KeptParts:
    if task == "dubbing":
        return kept_prefix(frames, tokens, frames)
    if task == "audio_driven":
        return kept_prefix(frames, tokens, 1, tokens)
    if task == "continuation":
        past = len(tokens_of_frames(range(CONTINUED_FRAMES), frames, tokens))
        return kept_prefix(frames, tokens, CONTINUED_FRAMES, past)
    return kept_prefix(frames, tokens, 1)


def _condition(bundle: TinyBundle, caption: str, symbols: list[int]) -> Condition:
    tokens = torch.tensor([bundle.caption_encoder.tokenize(caption)])
    return Condition(bundle.caption_encoder(tokens), torch.tensor([symbols]))
