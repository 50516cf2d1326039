"""A corpus clip made anew by the small model, in each of the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy
import torch
from torch import Tensor

from uniavgen_core.audio.mel import log_mel, peak_scale
from uniavgen_core.audio.voice import reference_mel
from uniavgen_core.config import SAMPLE_RATE, SAMPLES_A_FRAME, TEMPORAL_COMPRESSION
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.media.images import to_bytes
from uniavgen_core.sampling.euler import Clip, sample_euler
from uniavgen_core.sampling.guidance import NO_BLOCK, Guidance
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import TASKS, Extent, KeptParts
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
    trained_with_masks: bool = False
    """Whether the model takes areas that are kept as it takes whole frames."""

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
        if self.guidance in VARIANTS:
            return partial(sample_variant, self.guidance)
        return partial(sample_euler, trained_with_masks=self.trained_with_masks)


@dataclass(frozen=True)
class Generated:
    """What came out, as a user gets it: given sound is the user's own."""

    frames: numpy.ndarray
    """(F, H, W, 3) of bytes."""
    waveform: numpy.ndarray
    """(samples) at 24 kHz."""
    mask_iou: float
    """Of the predicted face masks with the corpus clip's face, mean of interactions and steps."""
    kept: KeptParts
    """Latent frames and audio tokens."""

    @property
    def kept_frames(self) -> tuple[bool, ...]:
        """Which pixel frames are kept, (F)."""
        first, *others = self.kept.whole_frames
        return (first, *(kept for kept in others for _ in range(TEMPORAL_COMPRESSION)))

    @property
    def made_tokens(self) -> range:
        """Audio tokens from the first generated one to the last."""
        return _span(self.kept.audio)

    def made(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Frames and waveform from the first frame that is generated to the last."""
        frames = _span(self.kept_frames)
        start, end = (frame * SAMPLES_A_FRAME for frame in (frames.start, frames.stop))
        return self.frames[frames.start : frames.stop], self.waveform[start:end]


def _span(kept: tuple[bool, ...]) -> range:
    """From the first that is generated to the last; empty where all are kept."""
    made = [index for index, is_kept in enumerate(kept) if not is_kept]
    return range(made[0], made[-1] + 1) if made else range(0)


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
    face = token_mask(torch.from_numpy(corpus_clip.face_mask)).numpy()[: clip.video.shape[2]]
    with mask_agreement(bundle.model, face) as agreement:
        video, audio = sample_clip(
            bundle, clip, positive, negative,
            seed=how.seed_of(corpus_clip), steps=how.steps, shift=how.shift,
            guidance=how.settings(), sampler=how.sampler(),
        )  # fmt: skip
    return Generated(
        frames=to_bytes(decode_video(bundle, video)),
        waveform=corpus_clip.waveform if clip.kept.all_audio else decode_audio(audio)[0].numpy(),
        mask_iou=agreement.mean(),
        kept=clip.kept,
    )


def source_frames(task: str, corpus_clip: CorpusClip) -> numpy.ndarray:
    """Frames (F, H, W, 3) of bytes whose first ones a task is given: the clip's own, or the portrait as the first.

    A task whose picture is a still has the portrait alone.
    """
    if TASKS[task].video is Extent.STILL:
        return corpus_clip.portrait[None]
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
