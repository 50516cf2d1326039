"""Samples of a run in progress: a contact sheet and a sound of a few validation clips."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import torch
from torch import Tensor

from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.speech.reader import SpeechReader
from uniavgen_core.tasks import TASKS

from .. import pipeline
from ..contact_sheet import contact_sheet
from .learner import Learner
from .shards import Label, Shards
from .training_config import TrainConfig
from .video_codecs import load_codec_of

SAMPLES = 4
NAME_LETTERS = 60
"""Longest name of a sample."""


@torch.no_grad()
def write_samples(learner: Learner, config: TrainConfig, folder: Path) -> None:
    """Sample the captions and words of a few validation clips that start at rest, each from its portrait."""
    folder.mkdir(parents=True, exist_ok=True)
    codec = load_codec_of(config)
    shards = Shards(config.path(config.validation_data))
    resting = [clip for clip, label in enumerate(shards.labels) if label.starts_at_rest]
    for number, clip in enumerate(resting[:: max(1, len(resting) // SAMPLES)][:SAMPLES]):
        with torch.autocast(learner.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            video, audio = _sample(learner, shards, clip)
        waveform = pipeline.decode_audio(audio.float().cpu())[0]
        name = f"{number}_{_name(shards.labels[clip])}"
        contact_sheet(codec.decode_frames(video.float().cpu())[0], waveform).save(folder / f"{name}.png")
        _write_wav(folder / f"{name}.wav", waveform)


def _sample(learner: Learner, shards: Shards, clip: int) -> list[Tensor]:
    """Both streams of a clip, made from its portrait, caption and words."""
    label = shards.labels[clip]
    portrait = shards.tensor(clip, "portrait")[None].to(learner.device)
    audio = torch.zeros_like(shards.tensor(clip, "audio"))[None, None].to(learner.device)
    streams = Clip(
        video=portrait.repeat(1, 1, label.latent_frames, 1, 1),
        audio=audio,
        kept=TASKS["joint"].kept(label.latent_frames, audio.shape[2]),
        reference_image=portrait,
    )
    empty = shards.empty_caption(clip)
    features = None if empty is None else [shards.tensor(clip, "caption"), empty]
    captions = learner.caption_rows([label.caption, ""], features)
    reader = SpeechReader()
    symbols = (reader.positive_symbols(label.speech, label.language), reader.negative_symbols(label.language))
    positive, negative = (
        Condition(rows[None], torch.tensor([spoken], device=learner.device))
        for rows, spoken in zip(captions, symbols, strict=True)
    )
    video_noise, audio_noise = pipeline.draw_noise((streams.video.shape, streams.audio.shape), seed=0)
    noise = video_noise.to(learner.device), audio_noise.to(learner.device)
    sampled = sample_euler(
        learner.model, streams, noise, flow_sigmas().to(learner.device), positive=positive, negative=negative
    )
    return streams.put_back(sampled)


def _write_wav(path: Path, waveform: Tensor) -> None:
    """Write a waveform (samples) at 24 kHz in 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(waveform.clamp(-1, 1).mul(32767).round().short().numpy().tobytes())


def _name(label: Label) -> str:
    words = re.findall(r"\w+", label.speech)
    return "_".join(filter(None, (label.kind, label.mood, *words)))[:NAME_LETTERS]
