"""Captions that change within a clip: does the face change its mood where it is told to?

Each corpus clip is made with a caption of its own mood for the first half and of another one for the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from uniavgen_core.captions import CaptionChange
from uniavgen_core.config import FRAME_RATE
from uniavgen_core.face.lip_sync import lip_sync, mouth_open_area
from uniavgen_core.media.images import to_bytes
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.sampling.euler import Condition
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tiny.bundle import TinyBundle

from ..pipeline import condition, decode_audio, decode_video, sample_clip
from ..world.corpus import CorpusClip
from ..world.sentences import MOODS
from .generate import LANGUAGE, Sampling, corpus_task
from .image_measures import identity
from .measures import Measures
from .shown_mood import shown_moods

CAPTION_FORMS = ("first caption alone", "both in words", "soft edge", "cut")
"""What is told: the first caption; “…, then …”; each frame its own caption, with Prompt Relay's edge or with a cut."""
EDGE = 0.1
"""How much of its weight a caption has left at the moment of the change, in Prompt Relay's soft edge."""
FADE = 5
"""Pixel frames in which a mood comes, which are not looked at: after the start, and after the change."""


def measure_captions(bundle: TinyBundle, clip: CorpusClip, partner: CorpusClip, how: Sampling) -> Measures:
    """Make a corpus clip anew, in joint generation, and see how its captions are followed.

    Args:
        how: its guidance is one of CAPTION_FORMS; the model's own guidance is used.

    Returns:
        `first` and `second`, the shares of the halves' frames that show the mood of their caption, `lip_sync_raw` and
        `identity`.
    """
    form = how.guidance
    moods = (clip.mood, MOODS[(MOODS.index(clip.mood) + 1 + clip.seed // 2 % 3) % len(MOODS)])
    first, second = clip.caption, caption_in(clip.caption, *moods)
    task, reader = corpus_task("joint", bundle, clip, partner), SpeechReader()
    words = reader.positive_symbols(clip.speech, LANGUAGE)
    told = f"{first.rstrip('.')}, then {second[0].lower()}{second[1:]}" if form == "both in words" else first
    positive, after = condition(bundle, told, words), condition(bundle, second, words)
    if form == "cut":
        change = CaptionChange(clip.seconds / 2, after.caption)
        positive = Condition(positive.caption, positive.symbols, (change,))
    with soft_edge(bundle.model, positive, after) if form == "soft edge" else nullcontext():
        video, audio = sample_clip(
            bundle, task, positive, condition(bundle, "", reader.negative_symbols(LANGUAGE)),
            seed=how.seed_of(clip), steps=how.steps, shift=how.shift, guidance=how.settings(),
        )  # fmt: skip
    frames = to_bytes(decode_video(bundle, video))
    shown = shown_moods(frames, clip.person)
    middle = round(clip.seconds / 2 * FRAME_RATE)
    return {
        "first": fmean(mood == moods[0] for mood in shown[FADE : middle - 1]),
        "second": fmean(mood == moods[1] for mood in shown[middle + FADE - 1 :]),
        "lip_sync_raw": lip_sync(mouth_open_area(frames), decode_audio(audio)[0].numpy()),
        "identity": identity(frames[1:], clip.portrait),
    }


def caption_in(caption: str, mood: str, other: str) -> str:
    """A corpus caption with another mood."""
    ending = "n" if other.startswith("a") else ""
    return re.sub(
        rf"\b(?:([Aa])n? )?{mood}\b", lambda said: f"{said[1]}{ending} {other}" if said[1] else other, caption
    )


@contextmanager
def soft_edge(model: JointDiT, before: Condition, after: Condition) -> Iterator[None]:
    """Inside the block, the first half attends to one caption and the second to another, with a Gaussian edge.

    As in Prompt Relay (arXiv 2604.10030): with a caption's middle m and its half of L frames, scores of frames that lie
    more than w = L / 2 - 2 from m lose (|t - m| - w)² / 2σ².
    """
    first, second = (model.encode_caption(told.caption) for told in (before, after))

    def add(module: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        (latent, _), timestep, caption, speech = args
        if not torch.equal(caption, first):
            return None
        scores = soft_scores(latent.shape[2])
        tokens = latent.shape[3] * latent.shape[4] // 4
        mask = scores.repeat_interleave(first.shape[1], dim=1).repeat_interleave(tokens, dim=0).unsqueeze(0)
        captions = torch.cat((first, second), dim=1)
        return (args[0], timestep, captions, speech), {**keywords, "caption_mask": mask}

    handle = model.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def soft_scores(latent_frames: int) -> Tensor:
    """What is added to the scores (T + 1, 2) of both captions, the reference frame's first."""
    times = torch.arange(-1, latent_frames).clamp(min=0)
    half = latent_frames / 2
    width = max(half / 2 - 2, 0.0)
    variance = (half / 2 - width) ** 2 / (-2 * torch.log(torch.tensor(EDGE)))
    middles = torch.tensor([half / 2 - 0.5, 1.5 * half - 0.5])
    beyond = ((times.unsqueeze(1) - middles).abs() - width).clamp(min=0)
    return -beyond.square() / (2 * variance)
