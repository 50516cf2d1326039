"""The part of `few_steps` that runs among ComfyUI's modules: what to measure comes as JSON on standard input."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import product
from statistics import fmean
from typing import Any

import comfy.samplers
import comfy.utils
import numpy
import torch
from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced
from comfy_extras.nodes_easycache import EasyCacheNode
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from pack.nodes.comfy_latent import joint_latent
from pack.nodes.comfy_loading import host_model
from pack.nodes.conditioning import Conditioning
from pack.nodes.sampling import Guider
from pack.uniavgen_core.audio.vocoder import GriffinLim
from pack.uniavgen_core.joint_latent import stream_shapes
from pack.uniavgen_core.media.images import to_bytes
from pack.uniavgen_core.sampling.schedule import SCHEDULES, flow_sigmas
from pack.uniavgen_core.tasks import TASKS
from pack.uniavgen_core.tiny.bundle import load_tiny

from uniavgen_core.face.lip_sync import lip_sync, mouth_open_area

from ..evaluation.lip_sync_ends import shuffled_lip_sync
from ..evaluation.measures import Measures, SpeechJudges, measure_clip
from ..evaluation.tables import summarise
from ..pipeline import GUIDANCE
from ..world.corpus import SPLITS, CorpusClip, make_clip
from ..world.synthesiser import Synthesiser

SETTINGS = ("guidance", "sampler", "schedule", "shift", "steps", "cache")
COLUMNS = (
    "passes", "lip_sync", "word_error_rate", "timbre", "emotion", "identity", "detail", "seconds",
)  # fmt: skip
AUTOMATIC = {"audio_to_video": "auto", "video_to_audio": "auto"}


class SampledClips:
    """Corpus clips with what their samplings share: model, latents, conditioning, and what measures them."""

    def __init__(self, count: int) -> None:
        self.bundle = load_tiny()
        self.model = host_model(self.bundle.model)
        self.passes = 0
        self.model.model.diffusion_model.blocks[0].register_forward_hook(self._count)
        self.judges, voice = SpeechJudges(), Synthesiser()
        self.clips = [make_clip(seed, voice) for seed in SPLITS["test"][::2][:count]]
        self.inputs = [self._inputs(clip) for clip in self.clips]

    def _count(self, block: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Positive and negative go as a batch of two where both have the same switches."""
        self.passes += len(inputs[0])

    def _inputs(self, clip: CorpusClip) -> tuple[dict, list, list]:
        """The LATENT of a clip that is to be made anew from its portrait, and its conditioning."""
        height, width = clip.portrait.shape[:2]
        shapes = stream_shapes(clip.latent_frames, width, height)
        portrait = self.bundle.codec.encode_frames(torch.from_numpy(clip.portrait[None]).float() / 255)
        kept = TASKS["joint"].kept(clip.latent_frames, shapes[1][2])
        latent = joint_latent(shapes, kept, self.model.model.latent_format.process_out(portrait))
        captions = [[[self._caption(text), {}]] for text in (clip.caption, "")]
        conditioning = Conditioning.execute(*captions, clip.speech, "English")
        return latent, conditioning[0], conditioning[1]

    def _caption(self, text: str) -> Any:
        return self.bundle.caption_encoder(torch.tensor([self.bundle.caption_encoder.tokenize(text)]))

    def sigmas(self, schedule: str, steps: int, shift: float) -> Any:
        """Noise levels (steps + 1)."""
        if schedule in SCHEDULES:
            return flow_sigmas(steps, shift, schedule)
        shifted = ModelSamplingSD3().patch(self.model, shift)[0]
        return comfy.samplers.calculate_sigmas(shifted.get_model_object("model_sampling"), schedule, steps)

    def sample(self, index: int, sampler: str, sigmas: Any, guidance: str, cache: float) -> list[Any]:
        """Both streams of a clip, as the nodes give them."""
        noise, solver = Noise_RandomNoise(self.clips[index].seed), comfy.samplers.sampler_object(sampler)
        guider, latent = self._guider(index, guidance, cache), self.inputs[index][0]
        return SamplerCustomAdvanced.execute(noise, guider, solver, sigmas, latent)[0]["samples"].unbind()

    def _guider(self, index: int, form: str, cache: float) -> Any:
        model = EasyCacheNode.execute(self.model, cache, 0.15, 0.95, False)[0] if cache else self.model
        return Guider.execute(
            model, *self.inputs[index][1:],
            video_scale=1.0 if form == "sound" else GUIDANCE.video_scale, audio_scale=GUIDANCE.audio_scale,
            unimodal_end_percent=GUIDANCE.unimodal_end_percent, skip_block={"skip_block": "none"}, **AUTOMATIC,
            end_percent={"half": 0.5, "off": 0.0}.get(form, 1.0),
        )[0]  # fmt: skip

    def measure(self, index: int, streams: Sequence[Any]) -> Measures:
        """Measures of a clip's streams beside the corpus clip."""
        with torch.no_grad():
            video = self.model.model.latent_format.process_in(streams[0].float())
            frames = to_bytes(self.bundle.codec.decode_frames(video)[0])
            waveform = GriffinLim()(streams[1][:, 0].float())[0].numpy()
        clip = self.clips[index]
        measures = measure_clip(frames, waveform, self.judges, clip.portrait, clip.speech, clip.kind, clip.mood)
        return measures | {"detail": detail(frames[1:]) / detail(clip.frames[1:])}

    def scale(self) -> tuple[float, float]:
        """Lip sync of shuffled pairs, and of the real clips."""
        mouths = [mouth_open_area(clip.frames) for clip in self.clips]
        waveforms = [clip.waveform for clip in self.clips]
        ceiling = fmean(lip_sync(mouth, waveform) for mouth, waveform in zip(mouths, waveforms, strict=True))
        return shuffled_lip_sync(mouths, waveforms), ceiling

    def row(self, guidance: str, sampler: str, schedule: str, shift: float, steps: int, cache: float) -> dict[str, Any]:
        """All clips sampled in one way."""
        sigmas = self.sigmas(schedule, steps, shift)
        measured, seconds, self.passes = [], 0.0, 0
        for index in range(len(self.clips)):
            start = time.perf_counter()
            streams = self.sample(index, sampler, sigmas, guidance, cache)
            seconds += time.perf_counter() - start
            measured.append(self.measure(index, streams))
        row = summarise(measured, *self.scale())
        row["detail"] = fmean(clip["detail"] for clip in measured)
        row |= {"passes": self.passes / len(self.clips), "seconds": seconds / len(self.clips)}
        settings = (guidance, sampler, schedule, shift, steps, cache)
        return dict(zip(SETTINGS, settings, strict=True)) | {key: row[key] for key in COLUMNS}


def detail(frames: numpy.ndarray) -> float:
    """Mean difference between neighbouring pixels: a blurred picture has less."""
    return float(numpy.mean([numpy.abs(numpy.diff(frames.astype(numpy.float32), axis=axis)).mean() for axis in (1, 2)]))


def measure_all(wanted: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every combination, and print a row of each as it is done."""
    torch.set_num_threads(1)
    comfy.utils.set_progress_bar_enabled(False)
    rows = []
    print("| " + " | ".join((*SETTINGS, *COLUMNS)) + " |")
    print("|" + "---|" * len((*SETTINGS, *COLUMNS)))
    every = product(wanted.guidance, wanted.samplers, wanted.schedules, wanted.shift, wanted.steps, wanted.cache)
    with torch.inference_mode():
        clips = SampledClips(wanted.clips)
        for settings in every:
            rows.append(clips.row(*settings))
            print(markdown_row(rows[-1]), flush=True)
    return rows


def markdown_row(row: dict[str, Any]) -> str:
    """A row of the table."""
    measured = ["–" if row[key] is None else f"{row[key]:.2f}" for key in COLUMNS]
    return "| " + " | ".join([*(str(row[key]) for key in SETTINGS), *measured]) + " |"


def main() -> None:
    wanted = argparse.Namespace(**json.load(sys.stdin))
    rows = measure_all(wanted)
    if wanted.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
