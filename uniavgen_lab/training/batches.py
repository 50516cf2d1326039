"""Batches for training: clips of one length, set one task, with their noise.

A batch follows from the run's seed and its step alone, so that a run resumes exactly and needs no state of its data.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from uniavgen_core.audio.mel import silence_mel
from uniavgen_core.audio.voice import SILENCE_SECONDS
from uniavgen_core.config import AUDIO_TOKENS_PER_SECOND, audio_tokens, pixel_frames
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.sampling.schedule import shift_sigma
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import TASKS, TOKEN_SIDE, Extent, KeptParts, Switches, Task, task_switches

from .random_masks import AREA, RANGE, random_area, random_range
from .shards import Shards
from .training_config import MaskShares

TRAINING_TASKS = {name: task for name, task in TASKS.items() if task.video is not Extent.STILL} | {
    "audio": Task("sound alone", Extent.NOTHING, Extent.NOTHING),
    "audio_reference_voice": Task("sound alone, reference voice", Extent.NOTHING, Extent.NOTHING, reference_voice=True),
}
"""The tasks that have a video, and those of the audio branch alone."""
TEXT_DROPOUT_APART = 0.5
"""Share of clips without caption and words where the branches do not see each other. Guidance's unimodal estimate is
such a pass."""
PAST_FRAMES = range(2, 5)
"""Latent frames of the past that continuation is given."""


@dataclass(frozen=True)
class Batch:
    """Clips of one length and one task, the noise that they are mixed with, and what is told of them.

    `video` (batch, 48, T, h, w), `audio` (batch, 1, L, 80) and their noise; `sigma` (batch) in 0..1, the share of
    noise; `portrait` (batch, 48, 1, h, w); `reference_audio` (batch, R, 80); `face_mask` (batch, T, N). A batch of the
    audio branch alone has no `video`.
    """

    task: str
    audio: Tensor
    audio_noise: Tensor
    sigma: Tensor
    symbols: list[list[int]]
    captions: list[str]
    kept: KeptParts
    switches: Switches
    video: Tensor | None = None
    video_noise: Tensor | None = None
    portrait: Tensor | None = None
    face_mask: Tensor | None = None
    reference_audio: Tensor | None = None
    caption_features: list[Tensor] | None = None
    """Rows (n, width) of each caption by a frozen encoder, where the shards have them."""
    mask_is_given: bool = False
    """Whether the interaction takes `face_mask` in place of the predicted one, as when a user steers by a mask."""


@dataclass(frozen=True)
class BatchSettings:
    """How batches are drawn."""

    batch_size: int
    tasks: Mapping[str, float]
    """Tasks and their shares."""
    text_dropout: float
    """Share of clips whose caption and words are left out, for guidance."""
    interaction_dropout: float
    """Share of batches whose branches do not see each other, for guidance."""
    timestep_shift: float
    given_face_mask: float = 0.0
    """Share of batches whose interaction takes the true face mask in place of the predicted one."""
    masks: MaskShares = MaskShares()
    """Shares of batches that keep random parts, among those of a picture and without a reference voice."""
    shares: tuple[float, ...] = ()
    """Shares of batches of each of the shards' folders; none: all clips are as frequent."""


class Batches(Dataset[Batch]):
    """The batch of each step of a run, for one of its processes."""

    def __init__(self, shards: Shards, settings: BatchSettings, steps: range, seed: int, process: int = 0):
        unknown = set(settings.tasks) - set(TRAINING_TASKS)
        if unknown:
            raise ValueError(f"There is no task {', '.join(sorted(unknown))}: choose from {', '.join(TRAINING_TASKS)}.")
        self._shards = shards
        self._settings = settings
        self._steps = steps
        self._seed, self._process = seed, process
        self._reader = SpeechReader()
        sources = range(shards.folders) if settings.shares else [None]
        self._clips = {
            name: [
                shards.of_one_form(
                    from_rest=TRAINING_TASKS[name].video is Extent.FIRST_FRAME,
                    with_partner=TRAINING_TASKS[name].reference_voice,
                    folder=source,
                )
                for source in sources
            ]
            for name in settings.tasks
        }
        idle = sorted(task for task, clips in self._clips.items() if not all(clips))
        if idle:
            raise ValueError(
                f"The shards, or those of a folder, have no clip for the task {', '.join(idle)}: those with a "
                "reference voice need two clips of a voice, the others one that starts at rest."
            )

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> Batch:
        step = self._steps[index]
        # Of one for all processes: where weights are sharded, they must all use the same layers at a step.
        common, own = _generator(self._seed, step), _generator(self._seed, self._process, step)
        task = self._draw_task(common)
        apart = _chance(common) < self._settings.interaction_dropout
        negative = _chance(common) < self._settings.text_dropout and TRAINING_TASKS[task].reference_voice
        mask_is_given = _chance(common) < self._settings.given_face_mask
        edit = self._draw_edit(common, TRAINING_TASKS[task])
        clips = self._draw_clips(own, task)
        batch = _Assembly(self._shards, self._settings, self._reader, task, apart, negative, clips, own, edit).batch()
        return replace(batch, mask_is_given=mask_is_given)

    def _draw_task(self, generator: torch.Generator) -> str:
        tasks = list(self._settings.tasks)
        shares = torch.tensor([self._settings.tasks[task] for task in tasks], dtype=torch.float64)
        return tasks[int(torch.multinomial(shares, 1, generator=generator))]

    def _draw_edit(self, generator: torch.Generator, task: Task) -> str:
        """RANGE, AREA or, where the task keeps what it says, nothing."""
        shares = self._settings.masks
        drawn = _chance(generator)
        if task.video is Extent.NOTHING or task.reference_voice or drawn >= shares.ranges + shares.areas:
            return ""
        return RANGE if drawn < shares.ranges else AREA

    def _draw_clips(self, generator: torch.Generator, task: str) -> list[int]:
        """Clips of one form; forms are as frequent as their clips."""
        forms, *others = self._clips[task]
        if others:
            shares = torch.tensor(self._settings.shares, dtype=torch.float64)
            forms = self._clips[task][int(torch.multinomial(shares, 1, generator=generator))]
        counts = torch.tensor([len(clips) for clips in forms], dtype=torch.float64)
        clips = forms[int(torch.multinomial(counts, 1, generator=generator))]
        indices = torch.randint(len(clips), (self._settings.batch_size,), generator=generator)
        return clips[indices].tolist()


class _Assembly:
    """One batch in the making.

    Args:
        apart: the branches do not see each other.
        negative: it is guidance's negative pass with a reference voice, in which the voice does see the face.
        edit: RANGE or AREA, where random parts of the clips are kept.
    """

    def __init__(
        self,
        shards: Shards,
        settings: BatchSettings,
        reader: SpeechReader,
        task: str,
        apart: bool,
        negative: bool,
        clips: list[int],
        generator: torch.Generator,
        edit: str,
    ):
        self.edit = edit
        self.shards, self.settings, self.reader = shards, settings, reader
        self.name, self.task = task, TRAINING_TASKS[task]
        self.apart, self.negative = apart, negative
        self.clips, self.generator = clips, generator
        self.labels = [shards.labels[clip] for clip in clips]

    def batch(self) -> Batch:
        alone = self.task.video is Extent.NOTHING
        face_mask = None if alone else self._stack("face_mask")
        reference = self._reference_audio() if self.task.reference_voice else None
        symbols, dropped = self._symbols(reference is not None)
        kept = self._kept(face_mask)
        # Sound that is given has its peak scaled, as when sampling; what is kept beside generated sound is as it was.
        audio = self._stack("loud_audio" if kept.all_audio else "audio").unsqueeze(1)
        video = None if alone else self._stack("video")
        return Batch(
            task=self.edit or self.name,
            audio=audio,
            audio_noise=self._noise(audio),
            sigma=shift_sigma(torch.rand(len(self.clips), generator=self.generator), self.settings.timestep_shift),
            symbols=symbols,
            captions=["" if drop else label.caption for label, drop in zip(self.labels, dropped, strict=True)],
            kept=kept,
            switches=self._switches(kept, reference is not None),
            video=video,
            video_noise=None if video is None else self._noise(video),
            portrait=None if video is None else self._portrait(video, kept),
            face_mask=face_mask,
            reference_audio=reference,
            caption_features=None if alone else self._caption_features(dropped),
        )

    def _stack(self, name: str) -> Tensor:
        return torch.stack([self.shards.tensor(clip, name) for clip in self.clips])

    def _portrait(self, video: Tensor, kept: KeptParts) -> Tensor:
        """Dubbing and the edit of a range have no portrait but the video's first frame, where that is given."""
        of_video = kept.whole_frames[0] if self.edit else self.task.video is Extent.ALL
        return video[:, :, :1] if of_video else self._stack("portrait")

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def _reference_audio(self) -> Tensor:
        """The partners' sounds and a silence after them."""
        mels = torch.stack([self.shards.tensor(self._partner(clip), "loud_audio") for clip in self.clips])
        silence = normalise_mel(silence_mel(round(SILENCE_SECONDS * AUDIO_TOKENS_PER_SECOND)))[0]
        return torch.cat((mels, silence.expand(len(mels), -1, -1)), dim=1)

    def _partner(self, clip: int) -> int:
        partner = self.shards.partner(clip)
        if partner is None:
            raise ValueError(f"Clip {clip} has no other clip of its voice, which the task '{self.name}' needs.")
        return partner

    def _symbols(self, has_reference: bool) -> tuple[list[list[int]], list[bool]]:
        """What is said in each clip, and whether it and the caption are left out."""
        symbols, dropped = [], []
        dropout = TEXT_DROPOUT_APART if self.apart else self.settings.text_dropout
        for clip, label in zip(self.clips, self.labels, strict=True):
            transcript = self.shards.labels[self._partner(clip)].speech if has_reference else None
            dropped.append(self.negative or _chance(self.generator) < dropout)
            symbols.append(
                self.reader.negative_symbols(label.language, transcript)
                if dropped[-1]
                else self.reader.positive_symbols(label.speech, label.language, transcript)
            )
        return symbols, dropped

    def _caption_features(self, dropped: list[bool]) -> list[Tensor] | None:
        features = []
        for clip, drop in zip(self.clips, dropped, strict=True):
            empty = self.shards.empty_caption(clip)
            if empty is None:
                return None
            features.append(empty if drop else self.shards.tensor(clip, "caption"))
        return features

    def _kept(self, face_mask: Tensor | None) -> KeptParts:
        frames = self.labels[0].latent_frames
        tokens = audio_tokens(pixel_frames(frames))
        if self.edit == RANGE:
            return random_range(frames, tokens, self.generator)
        if self.edit == AREA and face_mask is not None:
            columns = -(-self.shards.latent_columns(self.clips[0]) // TOKEN_SIDE)
            return random_area(face_mask, columns, tokens, self.generator)
        if not self.task.has_past:
            return self.task.kept(frames, tokens)
        if not self.task.keeps_ends:
            return self.task.kept(frames, tokens, self._drawn(PAST_FRAMES.start, min(PAST_FRAMES.stop, frames)))
        past = self._drawn(1, min(PAST_FRAMES.stop, frames - 1))
        return self.task.kept(frames, tokens, past, self._drawn(1, min(PAST_FRAMES.stop, frames - past)))

    def _drawn(self, low: int, high: int) -> int:
        """A number from low to high, the last one left out."""
        return int(torch.randint(low, high, (), generator=self.generator))

    def _switches(self, kept: KeptParts, has_reference: bool) -> Switches:
        if self.apart:
            return Switches(audio_to_video=False, video_to_audio=False)
        return task_switches(kept, has_reference, self.negative)


def _generator(*seeds: int) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(repr(seeds).encode()))


def _chance(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
