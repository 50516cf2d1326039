"""A corpus clip made anew by the small model, in each of the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy
import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.audio.voice import reference_mel
from uniavgen_core.config import SAMPLE_RATE, SAMPLES_A_FRAME, pixel_frames
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.sampling.euler import Clip, sample_euler
from uniavgen_core.sampling.guidance import NO_BLOCK, Guidance
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import TASKS, Extent
from uniavgen_core.tiny.bundle import TinyBundle

from ..pipeline import GUIDANCE, SHIFT, STEPS, Sampler, condition, decode_audio, decode_video, sample_clip
from ..training.render import token_mask
from ..world.corpus import CorpusClip
from .guidance_variants import VARIANTS, sample_variant
from .predicted_masks import mask_agreement

LANGUAGE = "en"
SEEDS_APART = 10**10
"""From a clip's seed to the next one's that its noise may have: more than there are clips."""
FORMS = ("none", "plain", "modality_aware", "window")
"""Forms of guidance to compare: none, classifier-free, modality-aware in all steps, and in the first part of them."""


@dataclass(frozen=True)
class Sampling:
    """How clips are sampled. Without guidance (`none`), scales and block do not matter."""

    steps: int = STEPS
    shift: float = SHIFT
    guidance: str = "window"
    """One of FORMS, or of `guidance_variants.VARIANTS`."""
    video_scale: float = GUIDANCE.video_scale
    audio_scale: float = GUIDANCE.audio_scale
    skip_block: int = GUIDANCE.skip_block
    noise: int = 0
    """Which noise: 0 is the clip's own, each other number another."""

    def settings(self) -> Guidance:
        """Scales, window and block for the sampler."""
        if self.guidance == "none":
            return Guidance(video_scale=1.0, audio_scale=1.0, skip_block=NO_BLOCK)
        ends = {"plain": 0.0, "modality_aware": 1.0}
        end = ends.get(self.guidance, GUIDANCE.unimodal_end_percent)
        return Guidance(self.video_scale, self.audio_scale, end, self.skip_block)

    def seed_of(self, corpus_clip: CorpusClip) -> int:
        """Of the noise that a clip is made of."""
        return corpus_clip.seed + SEEDS_APART * self.noise

    def sampler(self) -> Sampler:
        """What makes the streams: the model's own loop, or that of a variant."""
        return partial(sample_variant, self.guidance) if self.guidance in VARIANTS else sample_euler


@dataclass(frozen=True)
class Generated:
    """What came out, as a user gets it: given sound is the user's own."""

    frames: numpy.ndarray
    """(F, H, W, 3) of bytes."""
    waveform: numpy.ndarray
    """(samples) at 24 kHz."""
    mask_iou: float
    """Of the predicted face masks with the corpus clip's face, mean of interactions and steps."""
    kept_frames: int
    """Pixel frames from the first that are kept."""
    kept_tokens: int
    """Audio tokens from the first that are kept."""

    def after_the_past(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Frames and waveform from the first frame on that is generated."""
        return self.frames[self.kept_frames :], self.waveform[self.kept_frames * SAMPLES_A_FRAME :]


@torch.no_grad()
def generate(task: str, bundle: TinyBundle, corpus_clip: CorpusClip, partner: CorpusClip, how: Sampling) -> Generated:
    """Make a corpus clip anew, from its caption, its words and what the task gives of it.

    Args:
        task: one of `tasks.TASKS`.
        partner: another clip of the same person, who is the reference voice.
    """
    clip = corpus_task(task, bundle, corpus_clip, partner)
    transcript = partner.speech if clip.reference_audio is not None else None
    reader = SpeechReader()
    words = reader.positive_symbols(corpus_clip.speech, LANGUAGE, transcript)
    positive = condition(bundle, corpus_clip.caption, words)
    negative = condition(bundle, "", reader.negative_symbols(LANGUAGE, transcript))
    face = token_mask(torch.from_numpy(corpus_clip.face_mask)).numpy()
    with mask_agreement(bundle.model, face) as agreement:
        video, audio = sample_clip(
            bundle, clip, positive, negative,
            seed=how.seed_of(corpus_clip), steps=how.steps, shift=how.shift,
            guidance=how.settings(), sampler=how.sampler(),
        )  # fmt: skip
    return Generated(
        frames=to_bytes(decode_video(bundle, video)),
        waveform=corpus_clip.waveform if all(clip.kept.audio) else decode_audio(audio)[0].numpy(),
        mask_iou=agreement.mean(),
        kept_frames=pixel_frames(sum(clip.kept.video)),
        kept_tokens=sum(clip.kept.audio),
    )


def source_frames(task: str, corpus_clip: CorpusClip) -> numpy.ndarray:
    """Frames (F, H, W, 3) of bytes whose first ones a task is given: the clip's own, or the portrait as the first."""
    if TASKS[task].video is not Extent.FIRST_FRAME:
        return corpus_clip.frames
    return numpy.concatenate((corpus_clip.portrait[None], corpus_clip.frames[1:]))


def corpus_task(name: str, bundle: TinyBundle, corpus_clip: CorpusClip, partner: CorpusClip) -> Clip:
    """What a task is given of a corpus clip."""
    task = TASKS[name]
    video = _encode(bundle, source_frames(name, corpus_clip))
    waveform = torch.from_numpy(corpus_clip.waveform).unsqueeze(0)
    # Sound that is given has its peak scaled; a past keeps its own loudness.
    audio = normalise_mel(log_mel(peak_scale(waveform) if task.audio is Extent.ALL else waveform))
    reference = None
    if task.reference_voice:
        voice = torch.from_numpy(partner.waveform).view(1, 1, -1)
        reference = normalise_mel(reference_mel(voice, SAMPLE_RATE, partner.speech))
    return Clip(
        video=video,
        audio=audio.unsqueeze(1),
        kept=task.kept(video.shape[2], audio.shape[1]),
        # Who dubs a video has no portrait but its first frame.
        reference_image=video[:, :, :1] if task.video is Extent.ALL else _encode(bundle, corpus_clip.portrait[None]),
        reference_audio=reference,
    )


def _encode(bundle: TinyBundle, frames: numpy.ndarray) -> Tensor:
    return bundle.codec.encode_frames(torch.from_numpy(frames).float() / 255)
