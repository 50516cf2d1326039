"""Compare the model with reference numbers: python tests/parity.py FILE

Prints a line a case with the relative error, and exits with 1 if one is over its limit.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from common import relative_error
from golden_weights import weights_by_rule
from parity_result import Result
from parity_universe import compare_universe
from safetensors import safe_open
from torch import Tensor

from uniavgen_core.backend import torch_operations
from uniavgen_core.config import ModelSizes
from uniavgen_core.model.aligners import FACE_MASK_PATCH
from uniavgen_core.model.joint_dit import JointDiT
from uniavgen_core.model.plan import audio_windows
from uniavgen_core.sampling.euler import Clip, Condition, sample_euler
from uniavgen_core.sampling.guidance import Guidance
from uniavgen_core.sampling.schedule import flow_sigmas
from uniavgen_core.tasks import KeptParts, Switches, kept_prefix

FORWARD_LIMIT = 2e-6
TRAJECTORY_LIMIT = 2e-5
WITH_REFERENCE_AUDIO = ("reference_voice", "dubbing_reference_voice")


class Reference:
    """A file of reference numbers and the model that it was made with."""

    def __init__(self, path: Path):
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["meta"])
            self.tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.cases: dict[str, dict[str, Any]] = meta["cases"]
        self.latent_frames, self.audio_tokens = meta["T"], meta["La"]
        self.model = _model(meta["config"])

    def forward_cases(self) -> dict[str, dict[str, Any]]:
        return {name: case for name, case in self.cases.items() if not name.startswith("trajectory.")}

    def trajectories(self) -> dict[str, dict[str, Any]]:
        return {name: case for name, case in self.cases.items() if name.startswith("trajectory.")}

    def task_case(self, task: str) -> dict[str, Any]:
        """The forward case of a task in the positive pass, which says what it keeps; else what the task keeps."""
        for case in self.forward_cases().values():
            if case["task"] == task and not case["negative"]:
                return case
        frames = self.latent_frames if task.startswith("dubbing") else 1
        tokens = self.audio_tokens if task == "audio_driven" else 0
        return {"task": task, "video_cond": frames, "audio_cond": tokens}

    def clip(self, case: dict[str, Any]) -> Clip:
        """What the case's clip is made from, without batch-independent shortcuts."""
        task, t = case["task"], self.tensors
        from_clip = task.startswith(("dubbing", "continuation"))
        video = t["condition_video"] if from_clip else t["reference_image"].repeat(1, self.latent_frames, 1, 1)
        return Clip(
            video=video.unsqueeze(0),
            audio=t["condition_audio"][None, None],
            kept=self.kept(case),
            reference_image=t["reference_image"].unsqueeze(0),
            reference_audio=t["reference_audio"].unsqueeze(0) if task in WITH_REFERENCE_AUDIO else None,
        )

    def kept(self, case: dict[str, Any]) -> KeptParts:
        return kept_prefix(self.latent_frames, self.audio_tokens, case["video_cond"], case["audio_cond"])

    def condition(self, task: str, negative: bool) -> Condition:
        t, has_voice = self.tensors, task in WITH_REFERENCE_AUDIO
        if negative:
            speech = t["reference_speech"] if has_voice else t["negative_speech"]
            return Condition(t["negative_caption"].unsqueeze(0), speech)
        speech = torch.cat((t["reference_speech"], t["speech"]), dim=1) if has_voice else t["speech"]
        return Condition(t["caption"].unsqueeze(0), speech)


def _model(config: dict[str, Any]) -> JointDiT:
    sizes = ModelSizes(
        blocks=config["num_layers"],
        video_width=config["dim"],
        video_ffn_width=config["ffn_dim"],
        audio_width=config["audio_dim"],
        audio_ffn_width=config["audio_ffn_dim"],
        text_width=config["text_dim"],
        latent_channels=config["in_dim"],
        mel_bands=config["in_audio_dim"],
        patch=tuple(config["patch_size"]),
    )
    model = JointDiT(sizes, torch_operations)
    model.load_state_dict(weights_by_rule(model, config["weight_seed"]))
    if ModelSizes.from_state_dict(model.state_dict()) != sizes:
        raise ValueError(f"The sizes read off the tensors are not the file's: {sizes}")
    return model.eval()


def compare_forward(reference: Reference, name: str, case: dict[str, Any]) -> Iterator[Result]:
    """The velocities and the face masks of one forward pass."""
    model, t = reference.model, reference.tensors
    clip = reference.clip(case)
    condition = reference.condition(case["task"], case["negative"])
    masks: dict[int, Tensor] = {}

    def record(mask: Tensor, layer: int, options: dict[str, Any]) -> Tensor:
        masks[layer] = mask
        return mask

    video, audio = model(
        clip.put_back((t["noise_video"], t["noise_audio"].unsqueeze(1))),
        torch.tensor([case["timestep"]]),
        model.encode_caption(condition.caption),
        model.encode_speech(condition.symbols, torch.float32),
        reference_image=clip.reference_image,
        reference_audio=clip.reference_audio,
        kept=clip.kept,
        switches=Switches(
            audio_to_video=not (case["no_a2v"] or case["zero_con"]),
            video_to_audio=not (case["no_v2a"] or case["zero_con"]),
            skip_block=case["skip_layer"],
        ),
        options={"patches": {FACE_MASK_PATCH: [record]}},
    )
    # The released model computes a stream that is kept entirely, too, and throws away what comes out.
    if not all(clip.kept.video):
        yield Result(f"{name}.video", relative_error(video[0], t[f"{name}.video"][:, 1:]), FORWARD_LIMIT)
    if not all(clip.kept.audio):
        yield Result(f"{name}.audio", relative_error(audio[0, 0], t[f"{name}.audio"]), FORWARD_LIMIT)
    expected = {key: tensor for key, tensor in t.items() if key.startswith(f"{name}.face_mask.")}
    for key, tensor in expected.items():
        mask = masks.pop(int(key.rsplit(".", 1)[1]), torch.empty(0))
        yield Result(key, relative_error(mask.squeeze(0), tensor), FORWARD_LIMIT)
    if masks:
        yield Result(f"{name}.face_mask: layers {sorted(masks)} are not in the file", float("inf"), FORWARD_LIMIT)


def compare_trajectory(reference: Reference, name: str, case: dict[str, Any]) -> Iterator[Result]:
    """The last latents of a whole sampling run."""
    t, task = reference.tensors, case["task"]
    clip = reference.clip(reference.task_case(task))
    video, audio = sample_euler(
        reference.model,
        clip,
        (t["noise_video"], t["noise_audio"].unsqueeze(1)),
        flow_sigmas(case["steps"], case["shift"]),
        positive=reference.condition(task, negative=False),
        negative=reference.condition(task, negative=True),
        guidance=Guidance(case["video_guidance"], case["audio_guidance"], case["macfg_proportion"], case["skip_layer"]),
    )
    if not all(clip.kept.video):
        yield Result(f"{name}.video", relative_error(video[0], t[f"{name}.video"]), TRAJECTORY_LIMIT)
    if not all(clip.kept.audio):
        yield Result(f"{name}.audio", relative_error(audio[0, 0], t[f"{name}.audio"]), TRAJECTORY_LIMIT)


def compare_windows(reference: Reference) -> Iterator[Result]:
    """The window tables, which must be equal."""
    own = f"_{reference.latent_frames}_{reference.audio_tokens}"
    for name, tensor in reference.tensors.items():
        if match := re.fullmatch(r"a2v_window(?:_(\d+)_(\d+))?", name):
            frames, tokens = map(int, (match[0] + (own if match[1] is None else "")).split("_")[2:])
            equal = torch.equal(torch.tensor(audio_windows(frames, tokens)), tensor)
            yield Result(name, 0.0 if equal else float("inf"), 0.0)


def compare(path: Path) -> Iterator[Result]:
    """All cases of a file, of UniAVGen or of UniVerse-1."""
    if _is_of_universe(path):
        yield from compare_universe(path)
        return
    reference = Reference(path)
    yield from compare_windows(reference)
    if "speech_features" in reference.tensors:
        features = reference.model.encode_speech(reference.tensors["speech"], torch.float32)[0]
        yield Result("speech_features", relative_error(features, reference.tensors["speech_features"]), FORWARD_LIMIT)
    for name, case in reference.forward_cases().items():
        yield from compare_forward(reference, name, case)
    for name, case in reference.trajectories().items():
        yield from compare_trajectory(reference, name, case)


def _is_of_universe(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return "mel_num_attention_heads" in json.loads(file.metadata()["meta"])["config"]


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the model with reference numbers.")
    parser.add_argument("file", type=Path)
    failed = 0
    for result in compare(parser.parse_args().file):
        print(f"{'ok  ' if result.passed else 'FAIL'} {result.error:9.2e}  limit {result.limit:.0e}  {result.name}")
        failed += not result.passed
    print(f"{failed} over the limit" if failed else "all within the limits")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
