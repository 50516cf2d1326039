"""What is measured of an item by which model, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray

from ..evaluation.word_errors import word_errors
from .bench_formulas import at_peak, cosine, divergence, in_16_bits, listening_windows, published_word_error
from .bench_items import IMAGE, ORIGINAL, PROMPTS, SOUND, VIDEO, WITH_ORIGINAL, MadeItem
from .bench_models import OR
from .picture_models import (
    AestheticPredictor,
    CroppedQuality,
    DinoFeatures,
    Flow,
    FrameScores,
    FrameTokens,
    ImageQuality,
    OpticalFlow,
    VisionTokens,
    frame_flows,
)
from .sound_models import (
    CLAP_RATE,
    PASST_RATE,
    SPEECH_RATE,
    Clap,
    SenseVoice,
    SoundAesthetics,
    SoundClasses,
    Whisper,
)
from .sync_models import LipConfidence, Synchformer

Values = Mapping[str, float | Sequence[float]]
"""Measures of an item, and features that a set's total needs."""
Measure = Callable[[MadeItem], Values]

WINDOW_SECONDS, WINDOW_STEP = 10, 5
LAST_PATCH, CLASS_TOKEN = -2, 0
"""The token that the benchmark takes for the image's feature, and the one that stands for the image."""
MOST_AESTHETIC, MOST_MUSIQ = 10, 100
VBENCH_RATE = 8
"""Frames a second between which VBench looks for motion."""
FASTEST_SHARE = 0.05
"""Of the pixels, those whose flow says whether a frame moves."""
MOVING_PIXELS, MOVING_SIDE = 6.0, 256
"""So many pixels of flow, at a shorter side of so many pixels, are motion."""
LONGEST_SIDE = 512
"""Of a frame whose imaging quality is judged."""


@dataclass(frozen=True)
class Probe:
    """A model and what it measures.

    Attributes:
        names: of its files and folders in the folder of models.
        load: makes the measure from their paths.
        reads: the item's files that the measure depends on.
        version: of the measure; another one is measured anew.
    """

    names: tuple[str, ...]
    load: Callable[[Sequence[Path], torch.device], Measure]
    reads: tuple[str, ...]
    version: int = 1


def frame_mean(key: str, most: float, model: FrameScores) -> Measure:
    """The mean over all frames, as a share of the highest score."""
    return lambda made: {key: float(model(made.frames).mean()) / most}


def likeness(model: FrameTokens) -> Measure:
    """How much all frames are like the item's image, by the published token and by the class token."""

    def measure(made: MadeItem) -> Values:
        (image,), tokens = model(made.first_frame[None]), model(made.frames)
        return {
            name: float(numpy.mean([cosine(frame[token], image[token]) for frame in tokens]))
            for name, token in (("id_patch", LAST_PATCH), ("id_class", CLASS_TOKEN))
        }

    return measure


def subject_consistency(model: FrameTokens) -> Measure:
    """VBench's: each frame's mean likeness to the first one and to the one before; negative ones count as 0."""

    def measure(made: MadeItem) -> Values:
        features = model(made.frames)[:, CLASS_TOKEN]
        likenesses = ((cosine(features[0], now), cosine(before, now)) for before, now in pairwise(features))
        each = [(max(0.0, first) + max(0.0, before)) / 2 for first, before in likenesses]
        if not each:
            raise ValueError("one frame is no video")
        return {"subject": float(numpy.mean(each))}

    return measure


def movement(model: Flow) -> Measure:
    """The benchmark's mean motion, and whether VBench calls the clip dynamic."""

    def measure(made: MadeItem) -> Values:
        frames = made.frames
        if len(frames) < 2:
            raise ValueError("one frame is no video")
        mean = numpy.mean([float(flow.abs().mean()) for flow in frame_flows(frames, model, made_smaller=True)])
        seen = frames[:: max(1, round(made.rate / VBENCH_RATE))]
        fastest = [fastest_motion(flow) for flow in frame_flows(seen, model, made_smaller=False)]
        return {"motion": float(mean), "dynamic": float(is_dynamic(fastest, len(seen), frames.shape[1:3], made.rate))}

    return measure


def fastest_motion(flow: torch.Tensor) -> float:
    """The mean length of the largest 5 % of a flow (2, height, width), in pixels."""
    lengths = flow.norm(dim=0).flatten()
    return float(lengths.topk(int(len(lengths) * FASTEST_SHARE)).values.mean())


def is_dynamic(fastest: Sequence[float], count: int, size: Sequence[int], rate: float) -> bool:
    """Whether enough of the flows between so many frames are motion: a quarter of them, by VBench's rule."""
    least = MOVING_PIXELS * min(size) / MOVING_SIDE * max(1.0, VBENCH_RATE / rate)
    return sum(one > least for one in fastest) >= max(1, round(4 * count / 16))


def sound_and_text(model: Clap) -> Measure:
    """How much the sound is like its text, and CLAP's features of the sound and of the original."""

    def hear(waveform: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        return model.hear(in_16_bits(at_peak(waveform)))

    def measure(made: MadeItem) -> Values:
        features = hear(made.heard(CLAP_RATE))
        values: dict[str, float | Sequence[float]] = {}
        if made.item.sounds is not None:
            values["cs"] = cosine(features, model.read(made.item.sounds[0]))
        if made.item.folder == WITH_ORIGINAL:
            values["features"] = features.tolist()
            values["original_features"] = hear(made.original_sound(CLAP_RATE)).tolist()
        return values

    return measure


def sound_classes(model: Callable[[NDArray[numpy.float32]], NDArray[numpy.floating]]) -> Measure:
    """How far what is heard is from what is heard in the original."""

    def hear(waveform: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        scores = model(listening_windows(at_peak(waveform), PASST_RATE, WINDOW_SECONDS, WINDOW_STEP))
        mean: NDArray[numpy.floating] = scores.mean(axis=0)
        return mean

    def measure(made: MadeItem) -> Values:
        return {"kl": divergence(hear(made.original_sound(PASST_RATE)), hear(made.heard(PASST_RATE)))}

    return measure


def words(key: str, error: Callable[[str, str], float], model: Callable[[NDArray[numpy.float32]], str]) -> Measure:
    """Word errors of what is heard."""
    return lambda made: {key: error(made.item.speech, model(made.heard(SPEECH_RATE)))}


def _plain_word_error(text: str, heard: str) -> float:
    return word_errors(text, heard).rate


def lips(model: Callable[[MadeItem], float | None]) -> Measure:
    """SyncNet's confidence; nothing where no face is seen for long enough."""

    def measure(made: MadeItem) -> Values:
        found = model(made)
        return {} if found is None else {"lips": found}

    return measure


def _musiq(longest: int | None, paths: Sequence[Path], device: torch.device) -> FrameScores:
    return ImageQuality("musiq", paths, device, longest)


def _aesthetics(paths: Sequence[Path], device: torch.device) -> Measure:
    model = SoundAesthetics(paths, device)
    return lambda made: model(made.heard(SPEECH_RATE), SPEECH_RATE)


def _offset(paths: Sequence[Path], device: torch.device) -> Measure:
    model = Synchformer(paths, device)
    return lambda made: {"offset": model(made)}


Load = Callable[[Sequence[Path], torch.device], Measure]


def _of(measure: Callable[..., Measure], model: Callable[..., object]) -> Load:
    return lambda paths, device: measure(model(paths, device))


PROBES: dict[str, Probe] = {
    "aesthetic": Probe(
        ("aesthetic_predictor_v2_5.pth", "siglip-so400m-patch14-384"),
        _of(partial(frame_mean, "aesthetic", MOST_AESTHETIC), AestheticPredictor),
        (VIDEO,),
    ),
    "musiq": Probe(
        ("musiq_koniq_ckpt*.pth",), _of(partial(frame_mean, "musiq", MOST_MUSIQ), partial(_musiq, None)), (VIDEO,)
    ),
    "maniqa": Probe(("ckpt_koniq10k.pt",), _of(partial(frame_mean, "maniqa", 1), CroppedQuality), (VIDEO,)),
    "dinov3": Probe(("dinov3-vitl16-pretrain-lvd1689m",), _of(likeness, VisionTokens), (VIDEO, IMAGE)),
    "audiobox": Probe(("audiobox-aesthetics/checkpoint.pt",), _aesthetics, (SOUND,)),
    "clap": Probe(("clap-htsat-fused",), _of(sound_and_text, Clap), (SOUND, PROMPTS, ORIGINAL)),
    "passt": Probe(("passt-s-f128-p16-s10-ap.476-swa.pt",), _of(sound_classes, SoundClasses), (SOUND, ORIGINAL)),
    "sensevoice": Probe(
        ("SenseVoiceSmall", "fsmn-vad"), _of(partial(words, "wer", published_word_error), SenseVoice), (SOUND, PROMPTS)
    ),
    "syncnet": Probe(
        ("syncnet_v2.model", OR.join(("scrfd*.onnx", "det_*.onnx", "*/det_*.onnx"))),
        _of(lips, LipConfidence),
        (VIDEO,),
    ),
    "synchformer": Probe(("synchformer.torchscript",), _offset, (VIDEO,)),
    "raft": Probe((OR.join(("raft-things.pth", "raft_large_C_T_V1*.pth")),), _of(movement, OpticalFlow), (VIDEO,)),
    "dino": Probe(("dino-vitb16",), _of(subject_consistency, DinoFeatures), (VIDEO,)),
    "musiq_spaq": Probe(
        ("musiq_spaq_ckpt*.pth",),
        _of(partial(frame_mean, "imaging", MOST_MUSIQ), partial(_musiq, LONGEST_SIDE)),
        (VIDEO,),
    ),
    "whisper": Probe(
        ("whisper-large-v3",), _of(partial(words, "whisper_wer", _plain_word_error), Whisper), (SOUND, PROMPTS)
    ),
}
"""By name. `lips` and the words of a clip are measured where somebody speaks (`bench_tables`)."""
