"""Real clips to shards: latents, mel, face masks and, with a frozen encoder, caption features."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import safe_open
from tqdm import tqdm

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import clip_seconds
from uniavgen_core.face.detection import FaceDetector
from uniavgen_core.joint_latent import normalise_mel

from .clip_files import ClipFile, UnfitClipError, find_clip_files, read_transcript
from .frozen_captions import FrozenCaptions
from .real_clips import Form, Utterance, cut_utterance, read_real_clip
from .render import CLIPS_A_SHARD, token_mask
from .shards import SUFFIX, Label, TrainingClip, shard_files, write_shard
from .video_codecs import VideoCodec

logger = logging.getLogger(__name__)

SETTINGS, FILES = "settings", "files"
"""Names in a shard's metadata of how it was made and of the clips that it holds."""


@dataclass(frozen=True)
class Preparation:
    """What to prepare, and with what.

    Attributes:
        folder: of the clips, as `clip_files` describes it.
        output: folder of the shards; those that are there stay.
        form: of the utterances.
        codec: of the pictures, on `device`.
        detector: of faces.
        captions: frozen encoder of the captions; None leaves them to the one that learns with the model.
        caption: of clips that have none.
        settings: what all shards of a folder must be made with, by the names of the command's options.
        device: where the codec computes.
    """

    folder: Path
    output: Path
    form: Form
    codec: VideoCodec
    detector: FaceDetector
    captions: FrozenCaptions | None = None
    caption: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    device: torch.device = torch.device("cpu")


@dataclass
class Summary:
    """What has been done in a call of `prepare`."""

    utterances: int = 0
    seconds: float = 0.0
    skipped: int = 0
    finished: int = 0
    """Clips that shards hold already."""


@dataclass(frozen=True)
class _Prepared:
    clip: TrainingClip
    speaker: str
    file: str


def prepare(preparation: Preparation) -> Summary:
    """Write shards of all clips that no shard holds yet; clips that do not fit are logged with the reason.

    Raises:
        FileNotFoundError: there are no clips.
        ValueError: the output folder holds shards that were made with other settings.
    """
    preparation.output.mkdir(parents=True, exist_ok=True)
    done = _finished_files(preparation)
    files = find_clip_files(preparation.folder)
    missing = [clip for clip in files if clip.name not in done]
    summary = Summary(finished=len(files) - len(missing))
    waiting: list[_Prepared] = []
    for clip in tqdm(missing, desc="prepare", unit="clip"):
        waiting += _prepared_clips(preparation, clip, summary)
        if len(waiting) >= CLIPS_A_SHARD:
            _write(preparation, waiting)
            waiting = []
    if waiting:
        _write(preparation, waiting)
    return summary


def _finished_files(preparation: Preparation) -> set[str]:
    """Names of the clips that are in shards."""
    done: set[str] = set()
    for path in shard_files(preparation.output):
        with safe_open(path, framework="pt") as shard:
            metadata = shard.metadata()
        settings = json.loads(metadata.get(SETTINGS, "{}"))
        if settings != preparation.settings:
            options = ", ".join(f"--{name} {value}" for name, value in settings.items()) or "another kind"
            raise ValueError(f"{preparation.output} holds shards of {options}: give the same, or another folder.")
        done.update(json.loads(metadata[FILES]))
    return done


def _prepared_clips(preparation: Preparation, clip: ClipFile, summary: Summary) -> Iterator[_Prepared]:
    """The utterances of a clip, ready for a shard."""
    try:
        transcript = read_transcript(clip.transcript_file)
        real_clip = read_real_clip(clip.file)
    except UnfitClipError as error:
        _skip(clip, error, summary)
        return
    for sentence in transcript.sentences:
        try:
            utterance = cut_utterance(real_clip, sentence, preparation.form)
            prepared = _training_clip(preparation, utterance, transcript.caption or preparation.caption)
        except UnfitClipError as error:
            _skip(clip, error, summary)
            continue
        summary.utterances += 1
        summary.seconds += clip_seconds(utterance.latent_frames)
        yield _Prepared(prepared, clip.speaker, clip.name)


def _skip(clip: ClipFile, reason: UnfitClipError, summary: Summary) -> None:
    summary.skipped += 1
    logger.warning("skipped %s: %s", clip.name, reason)


@torch.no_grad()
def _training_clip(preparation: Preparation, utterance: Utterance, caption: str) -> TrainingClip:
    """An utterance as the model sees it.

    Raises:
        UnfitClipError: it shows no face.
    """
    try:
        mask = preparation.detector.face_masks(utterance.frames)
    except ValueError as error:
        raise UnfitClipError(str(error)) from error
    video = preparation.codec.encode_frames(utterance.frames.to(preparation.device))[0].cpu()
    audio, loud_audio = (normalise_mel(log_mel(waveform)) for waveform in (utterance.waveform, utterance.loud_waveform))
    return TrainingClip(
        Label(utterance.latent_frames, utterance.speech, caption, utterance.language),
        audio,
        loud_audio,
        video,
        # The codec is causal: the first latent frame is that of the first picture alone, which is the portrait.
        portrait=video[:, :1],
        face_mask=token_mask(mask),
        caption=preparation.captions.features(caption) if preparation.captions else None,
    )


def _write(preparation: Preparation, prepared: Sequence[_Prepared]) -> None:
    number = 1 + max((int(path.stem.rpartition("_")[2]) for path in shard_files(preparation.output)), default=-1)
    metadata = {
        SETTINGS: json.dumps(preparation.settings),
        FILES: json.dumps(sorted({one.file for one in prepared})),
    }
    empty = preparation.captions.features("") if preparation.captions else None
    write_shard(preparation.output / f"clips_{number:05d}{SUFFIX}", _with_partners(prepared), empty, metadata)


def _with_partners(prepared: Sequence[_Prepared]) -> list[TrainingClip]:
    """The clips, each with another of its voice where there is one; as far as can be, one of its length."""
    voices = defaultdict(list)
    for index, one in enumerate(prepared):
        voices[one.speaker, one.clip.label.language].append(index)
    partners: dict[int, int] = {}
    for indices in voices.values():
        indices.sort(key=lambda index: prepared[index].clip.label.latent_frames)
        if len(indices) > 1:
            partners |= dict(zip(indices, [*indices[1:], indices[0]], strict=True))
    return [
        replace(one.clip, label=replace(one.clip.label, partner=partners.get(index)))
        for index, one in enumerate(prepared)
    ]
