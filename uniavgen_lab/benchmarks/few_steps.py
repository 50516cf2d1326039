"""What few steps cost: COMFYUI_PATH=ComfyUI python -m uniavgen_lab.benchmarks.few_steps, with the Python of ComfyUI

Makes clips of the small model's test part anew with ComfyUI's samplers, in joint generation, and measures them by
guidance, sampler, schedule and steps. That Python also needs the pack's extras `training` and `evaluation`.

Guidance is `full` (a negative pass at every step), `half` (at the first half of the steps), `sound` (a scale of 1 for
the picture) or `off` (no negative pass). The schedule is `released` or `simple`, the pack's own, or one of
ComfyUI's. `cache`
is the threshold of EasyCache, 0 without it. Passes are counted as they run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

PACK = Path(__file__).absolute().parent.parent.parent
STEPS = (50, 25, 12, 8, 4)
SAMPLERS = ("euler", "dpmpp_2m", "uni_pc", "res_multistep", "lcm")
GUIDANCE = ("full", "half", "sound", "off")
SETTINGS = ("guidance", "sampler", "schedule", "shift", "steps", "cache")
COLUMNS = (
    "passes", "lip_sync", "word_error_rate", "timbre", "emotion", "identity", "detail", "seconds",
)  # fmt: skip
AUTOMATIC = {"audio_to_video": "auto", "video_to_audio": "auto"}


def start_comfyui(folder: str) -> None:
    """Make ComfyUI's modules ready for the processor alone, and the pack one of its packs."""
    sys.argv = ["main.py", "--cpu", "--base-directory", folder]
    import comfy.options

    comfy.options.enable_args_parsing()
    spec = importlib.util.spec_from_file_location("pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)


class Clips:
    """Corpus clips with what their samplings share: model, latents, conditioning, and what measures them."""

    def __init__(self, count: int) -> None:
        from pack.nodes.comfy_loading import host_model
        from pack.uniavgen_core.tiny.bundle import load_tiny

        from uniavgen_lab.evaluation.measures import Ears
        from uniavgen_lab.world.corpus import SPLITS, make_clip
        from uniavgen_lab.world.synthesiser import Synthesiser

        self.bundle = load_tiny()
        self.model = host_model(self.bundle.model)
        self.passes = 0
        self.model.model.diffusion_model.blocks[0].register_forward_hook(self._count)
        self.ears, voice = Ears(), Synthesiser()
        self.clips = [make_clip(seed, voice) for seed in SPLITS["test"][::2][:count]]
        self.inputs = [self._inputs(clip) for clip in self.clips]

    def _count(self, block: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Positive and negative go as a batch of two where both have the same switches."""
        self.passes += len(inputs[0])

    def _inputs(self, clip: Any) -> tuple[dict, list, list]:
        """The LATENT of a clip that is to be made anew from its portrait, and its conditioning."""
        import torch
        from pack.nodes.comfy_latent import joint_latent
        from pack.nodes.conditioning import Conditioning
        from pack.uniavgen_core.joint_latent import stream_shapes
        from pack.uniavgen_core.tasks import TASKS

        height, width = clip.portrait.shape[:2]
        shapes = stream_shapes(clip.latent_frames, width, height)
        portrait = self.bundle.codec.encode_frames(torch.from_numpy(clip.portrait[None]).float() / 255)
        kept = TASKS["joint"].kept(clip.latent_frames, shapes[1][2])
        latent = joint_latent(shapes, kept, self.model.model.latent_format.process_out(portrait))
        captions = [[[self._caption(text), {}]] for text in (clip.caption, "")]
        conditioning = Conditioning.execute(*captions, clip.speech, "English")
        return latent, conditioning[0], conditioning[1]

    def _caption(self, text: str) -> Any:
        import torch

        return self.bundle.caption_encoder(torch.tensor([self.bundle.caption_encoder.tokenize(text)]))

    def sigmas(self, schedule: str, steps: int, shift: float) -> Any:
        """Noise levels (steps + 1)."""
        import comfy.samplers
        from comfy_extras.nodes_model_advanced import ModelSamplingSD3
        from pack.uniavgen_core.sampling.schedule import SCHEDULES, flow_sigmas

        if schedule in SCHEDULES:
            return flow_sigmas(steps, shift, schedule)
        shifted = ModelSamplingSD3().patch(self.model, shift)[0]
        return comfy.samplers.calculate_sigmas(shifted.get_model_object("model_sampling"), schedule, steps)

    def sample(self, place: int, sampler: str, sigmas: Any, guidance: str, cache: float) -> list[Any]:
        """Both streams of a clip, as the nodes give them."""
        import comfy.samplers
        from comfy_extras.nodes_custom_sampler import Noise_RandomNoise, SamplerCustomAdvanced

        noise, solver = Noise_RandomNoise(self.clips[place].seed), comfy.samplers.sampler_object(sampler)
        guider, latent = self._guider(place, guidance, cache), self.inputs[place][0]
        return SamplerCustomAdvanced.execute(noise, guider, solver, sigmas, latent)[0]["samples"].unbind()

    def _guider(self, place: int, form: str, cache: float) -> Any:
        from comfy_extras.nodes_easycache import EasyCacheNode
        from pack.nodes.sampling import Guider

        from uniavgen_lab.pipeline import GUIDANCE

        model = EasyCacheNode.execute(self.model, cache, 0.15, 0.95, False)[0] if cache else self.model
        return Guider.execute(
            model, *self.inputs[place][1:],
            video_scale=1.0 if form == "sound" else GUIDANCE.video_scale, audio_scale=GUIDANCE.audio_scale,
            unimodal_end_percent=GUIDANCE.unimodal_end_percent, skip_block={"skip_block": "none"}, **AUTOMATIC,
            end_percent={"half": 0.5, "off": 0.0}.get(form, 1.0),
        )[0]  # fmt: skip

    def measure(self, place: int, streams: Sequence[Any]) -> dict[str, Any]:
        """Measures of a clip's streams beside the corpus clip."""
        import torch
        from pack.uniavgen_core.audio.vocoder import GriffinLim
        from pack.uniavgen_core.media.images import to_bytes

        from uniavgen_lab.evaluation.measures import measure_clip

        with torch.no_grad():
            video = self.model.model.latent_format.process_in(streams[0].float())
            frames = to_bytes(self.bundle.codec.decode_frames(video)[0])
            sound = GriffinLim()(streams[1][:, 0].float())[0].numpy()
        clip = self.clips[place]
        measures = measure_clip(frames, sound, self.ears, clip.portrait, clip.speech, clip.kind, clip.mood)
        return measures | {"detail": detail(frames[1:]) / detail(clip.frames[1:])}

    def scale(self) -> tuple[float, float]:
        """Lip sync of shuffled pairs, and of the real clips."""
        from uniavgen_lab.evaluation.lip_sync import lip_sync, mouth_open_area, shuffled_lip_sync

        mouths, sounds = [mouth_open_area(clip.frames) for clip in self.clips], [clip.sound for clip in self.clips]
        ceiling = fmean(lip_sync(mouth, sound) for mouth, sound in zip(mouths, sounds, strict=True))
        return shuffled_lip_sync(mouths, sounds), ceiling

    def row(self, guidance: str, sampler: str, schedule: str, shift: float, steps: int, cache: float) -> dict[str, Any]:
        """All clips sampled in one way."""
        from uniavgen_lab.evaluation.tables import summarise

        sigmas = self.sigmas(schedule, steps, shift)
        measured, seconds, self.passes = [], 0.0, 0
        for place in range(len(self.clips)):
            start = time.perf_counter()
            streams = self.sample(place, sampler, sigmas, guidance, cache)
            seconds += time.perf_counter() - start
            measured.append(self.measure(place, streams))
        row = summarise(measured, *self.scale())
        row["detail"] = fmean(clip["detail"] for clip in measured)
        row |= {"passes": self.passes / len(self.clips), "seconds": seconds / len(self.clips)}
        told = (guidance, sampler, schedule, shift, steps, cache)
        return dict(zip(SETTINGS, told, strict=True)) | {key: row[key] for key in COLUMNS}


def detail(frames: Any) -> float:
    """Mean difference between neighbouring pixels: a blurred picture has less."""
    import numpy

    return float(numpy.mean([numpy.abs(numpy.diff(frames.astype(numpy.float32), axis=axis)).mean() for axis in (1, 2)]))


def in_comfyui() -> int:
    """Run this script again where ComfyUI's modules can be found."""
    comfyui = Path(os.environ.get("COMFYUI_PATH", ""))
    if not (comfyui / "comfy" / "options.py").is_file():
        raise SystemExit("COMFYUI_PATH is no folder of ComfyUI: set it to the one that holds main.py.")
    environment = os.environ | {"PYTHONPATH": str(comfyui.absolute())}
    return subprocess.run(
        [sys.executable, "-m", "uniavgen_lab.benchmarks.few_steps", *sys.argv[1:]], env=environment
    ).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="of the test part")
    parser.add_argument("--steps", type=int, nargs="*", default=STEPS)
    parser.add_argument("--samplers", nargs="*", default=SAMPLERS)
    parser.add_argument("--guidance", nargs="*", default=GUIDANCE, choices=GUIDANCE)
    parser.add_argument("--shift", type=float, nargs="*", default=(2.0,), help="of the noise schedule")
    parser.add_argument("--schedules", nargs="*", default=("released", "simple"))
    parser.add_argument("--cache", type=float, nargs="*", default=(0.0,), help="thresholds of EasyCache")
    parser.add_argument("--json", action="store_true", help="print all rows as JSON on the last line")
    arguments = parser.parse_args()
    if importlib.util.find_spec("comfy") is None:
        raise SystemExit(in_comfyui())
    with tempfile.TemporaryDirectory() as folder:
        start_comfyui(folder)
        rows = run(arguments)
    if arguments.json:
        print(json.dumps(rows))


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import comfy.utils
    import torch

    torch.set_num_threads(1)
    comfy.utils.set_progress_bar_enabled(False)
    rows = []
    print("| " + " | ".join((*SETTINGS, *COLUMNS)) + " |")
    print("|" + "---|" * len((*SETTINGS, *COLUMNS)))
    every = product(
        arguments.guidance, arguments.samplers, arguments.schedules, arguments.shift, arguments.steps, arguments.cache
    )
    with torch.inference_mode():
        clips = Clips(arguments.clips)
        for settings in every:
            rows.append(clips.row(*settings))
            print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    measured = ["–" if row[key] is None else f"{row[key]:.2f}" for key in COLUMNS]
    return "| " + " | ".join([*(str(row[key]) for key in SETTINGS), *measured]) + " |"


if __name__ == "__main__":
    main()
