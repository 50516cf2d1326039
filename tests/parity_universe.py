"""Compare UniVerse-1 with reference numbers; `tests/parity.py` runs it on files of that model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from common import relative_error
from golden_weights import weight_by_rule
from parity_result import Result
from release_names import name_in_release
from safetensors import safe_open
from torch import Tensor, nn

from uniavgen_core.backend import torch_operations
from uniavgen_core.sampling.schedule import twice_shifted_sigmas, whole_timestep
from uniavgen_core.universe1.stitched_dit import StitchedDiT
from uniavgen_core.universe1.stitched_names import stitched_name
from uniavgen_core.universe1.stitched_sampling import StitchedCondition, sample_stitched
from uniavgen_core.universe1.stitched_sizes import AUDIO_CHANNELS, StitchedSizes
from uniavgen_core.universe1.stitched_tables import StitchedShape, ace_tables, stitched_tables

LIMIT = 1e-5
SIGMA_LIMIT = 1e-6
PATCH_WIDTH = 256 * AUDIO_CHANNELS
INSIDE_BLOCKS = {
    "mel_attn": "mel_attn",
    "mel_to_vid": "mel_to_vid",
    "self_attn": "attn1",
    "cross_attn": "attn2",
    "mel_cross_attn": "mel_cross_attn",
    "ffn": "ffn",
    "mel_ff": "mel_ff",
    "vid_to_mel": "vid_to_mel",
    "norm3": "norm2",
}
"""Parts of a block, and what the file calls what they give."""
INSIDE = {
    "time_embedding": "video_time",
    "time_projection": "video_time_proj",
    "text_embedding": "caption_features",
    "timestep_embedder": "audio_time",
    "t_block": "audio_time_proj",
    "genre_embedder": "ambient_features",
    "lyric_encoder": "speech_encoder",
    "lyric_proj": "speech_features",
    "proj_in": "audio_tokens",
    "patch_embedding": "video_tokens",
}
"""Parts of the model, and what the file calls what they give."""


class UniverseReference:
    """A file of reference numbers and the model that it was made with."""

    def __init__(self, path: Path):
        with safe_open(path, framework="pt") as file:
            meta = json.loads(file.metadata()["meta"])
            self.tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.config: dict[str, Any] = meta["config"]
        self.cases: dict[str, dict[str, Any]] = meta["cases"]
        self.trajectories: dict[str, dict[str, Any]] = meta["trajectories"]
        self.speech_tokens: list[dict[str, Any]] = meta["speech_tokens"]
        self.model = _model(self.config)

    def condition(self, case: str, null: bool = False) -> StitchedCondition:
        """What one pass of a case is given."""
        given = {name: self.tensors[f"{case}.in.{name}"] for name in ("ambient", "speech", "reference")}
        if null:
            given = {name: torch.zeros_like(tensor) for name, tensor in given.items()}
        caption = self.tensors[f"{case}.in.{'negative_caption' if null else 'caption'}"]
        return StitchedCondition(
            self.model.encode_caption(caption, self.config["caption_rows"]),
            self.model.encode_sound(given["ambient"], given["speech"]),
            given["reference"],
            linked=not null,
        )

    def sound_mask(self, case: str, sound: Tensor) -> Tensor | None:
        """Added to the scores of the sound features: no masked row of the sound's text counts."""
        valid = self.tensors[f"{case}.in.ambient_mask"].bool()
        if valid.all():
            return None
        mask = torch.zeros(sound.shape[0], 1, sound.shape[1])
        mask[:, 0, : valid.shape[1]].masked_fill_(~valid, float("-inf"))
        return mask

    def velocity(self, case: str, null: bool = False) -> list[Tensor]:
        given = self.condition(case, null)
        video = self.tensors[f"{case}.in.video"]
        batch = len(video)
        return self.model(
            [video, self.tensors[f"{case}.in.audio"]],
            torch.full((batch,), self.cases[case]["timestep"]),
            given.caption,
            given.sound,
            reference_image=given.reference_image,
            linked=torch.full((batch,), float(given.linked)),
            sound_mask=self.sound_mask(case, given.sound),
        )


def _model(config: dict[str, Any]) -> StitchedDiT:
    head_width, lyric = config["attention_head_dim"], config["lyric"]
    audio_width = config["mel_num_attention_heads"] * head_width
    sizes = StitchedSizes(
        blocks=config["num_layers"],
        video_width=config["num_attention_heads"] * head_width,
        video_ffn_width=config["ffn_dim"],
        audio_width=audio_width,
        audio_ffn_width=int(config["mlp_ratio"] * audio_width),
        text_width=config["text_dim"],
        sound_text_width=config["text_embedding_dim"],
        vocabulary_rows=config["lyric_encoder_vocab_size"],
        lyric_width=config["lyric_hidden_size"],
        lyric_heads=lyric["heads"],
        lyric_ffn_width=lyric["units"],
        lyric_layers=lyric["blocks"],
        patch_width=PATCH_WIDTH,
        latent_channels=config["in_channels"],
        head_width=head_width,
    )
    model = StitchedDiT(sizes, torch_operations)
    model.load_state_dict(released_weights(sizes, config["weight_seed"]))
    if StitchedSizes.of_tensors(model.state_dict(), head_width) != sizes:
        raise ValueError(f"The sizes read off the tensors are not the file's: {sizes}")
    return model.eval()


def released_weights(sizes: StitchedSizes, weight_seed: int = 0) -> dict[str, Tensor]:
    """All weights by the rule, which goes by the release's names, under the model's."""
    shapes = {name: tuple(tensor.shape) for name, tensor in _empty(sizes).state_dict().items()}
    return {name: weight_by_rule(released_name(name), shape, weight_seed) for name, shape in shapes.items()}


def _empty(sizes: StitchedSizes) -> nn.Module:
    return StitchedDiT(sizes, torch_operations, device="meta")


def released_name(name: str) -> str:
    """The release's name of a parameter, where `stitched_name` leads back from it."""
    released = name_in_release(name)
    if stitched_name(released) != name:
        raise ValueError(f"{released} is not renamed to {name}")
    return released


class Inside:
    """What the parts of the model give in one forward pass, by the file's names."""

    def __init__(self, model: StitchedDiT, blocks: list[int]):
        self.found: dict[str, list[Tensor]] = {}
        parts = dict(model.named_modules())
        named = {parts[part]: name for part, name in INSIDE.items()}
        for block in blocks:
            named[parts[f"blocks.{block}"]] = f"block{block}"
            named |= {parts[f"blocks.{block}.{part}"]: f"block{block}.{name}" for part, name in INSIDE_BLOCKS.items()}
        self.handles = [part.register_forward_hook(self._note(name)) for part, name in named.items()]

    def _note(self, name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, tuple):
                for stream, tensor in zip(("video", "audio"), output, strict=True):
                    self.found[f"{name}.{stream}"] = [tensor]
            else:
                self.found.setdefault(name, []).append(output)

        return note

    def close(self) -> dict[str, Tensor]:
        for handle in self.handles:
            handle.remove()
        return {name: torch.cat(outputs, dim=1) for name, outputs in self.found.items()}


def compare_inside(reference: UniverseReference, case: str) -> Iterator[Result]:
    """Inner values and rotary tables of one forward pass."""
    blocks = reference.model.sizes.blocks
    inside = Inside(reference.model, sorted({0, blocks - 1}))
    reference.velocity(case)
    found = inside.close()
    for name, tensor in reference.tensors.items():
        if name.startswith(f"{case}.") and name.removeprefix(f"{case}.") in found:
            yield Result(name, relative_error(found[name.removeprefix(f"{case}.")], tensor), LIMIT)

    video = reference.tensors[f"{case}.in.video"]
    rows, columns = (size // 2 for size in video.shape[3:])
    shape = StitchedShape(video.shape[2], rows, columns, 1, reference.model.sizes.head_width, torch.device("cpu"))
    tables = stitched_tables(shape)
    cosine, sine = ace_tables(torch.arange(len(reference.tensors[f"{case}.rope.ace_cos"])), shape)
    ours = {
        "video_3d": tables.video[0, :, 0, :, :, 0],
        "frame_1d": tables.token_frames[0, :, 0, :, :, 0],
        "audio_1d": tables.frames[0, :, 0, :, :, 0],
        "ace_cos": cosine.squeeze(1),
        "ace_sin": sine.squeeze(1),
    }
    for name, table in ours.items():
        yield Result(f"{case}.rope.{name}", relative_error(table, reference.tensors[f"{case}.rope.{name}"]), LIMIT)


def compare_universe_forward(reference: UniverseReference, name: str) -> Iterator[Result]:
    """The velocities of one forward pass; with guidance the null row comes first."""
    rows = [reference.velocity(name, null) for null in (True, False)] if reference.cases[name].get("cfg") else None
    streams = reference.velocity(name) if rows is None else [torch.cat(pair) for pair in zip(*rows, strict=True)]
    for stream, tensor in zip(("video", "audio"), streams, strict=True):
        expected = reference.tensors[f"{name}.out.{stream}"]
        yield Result(f"{name}.out.{stream}", relative_error(tensor, expected), LIMIT)


def compare_universe_trajectory(reference: UniverseReference, name: str, case: dict[str, Any]) -> Iterator[Result]:
    """The latents of a whole sampling run, and behind those of its steps that the file has."""
    t = reference.tensors
    # The release leaves out the null row for both streams where the video has no guidance.
    unguided = case["scale_video"] <= 1
    behind: dict[int, list[Tensor]] = {}
    streams = sample_stitched(
        reference.model,
        [t[f"{name}.in.video"], t[f"{name}.in.audio"]],
        twice_shifted_sigmas(case["steps"]),
        positive=reference.condition(name),
        null=reference.condition(name, null=True),
        scales=(1.0, 1.0) if unguided else (case["scale_video"], case["scale_audio"]),
        after_step=lambda step, x, data: behind.update({step: x}),
    )
    found = {f"{name}.out": streams} | {f"{name}.step{step}": x for step, x in behind.items()}
    for when, both in found.items():
        for stream, tensor in zip(("video", "audio"), both, strict=True):
            if f"{when}.{stream}" in t:
                yield Result(f"{when}.{stream}", relative_error(tensor, t[f"{when}.{stream}"]), LIMIT)


def compare_schedules(reference: UniverseReference) -> Iterator[Result]:
    """Noise levels, and timesteps, which must be equal."""
    for name, tensor in reference.tensors.items():
        kind, _, steps = name.partition(".")
        if kind == "sigmas":
            error = float((twice_shifted_sigmas(int(steps)) - tensor).abs().max())
            yield Result(name, error, SIGMA_LIMIT)
        elif kind == "timesteps":
            ours = whole_timestep(twice_shifted_sigmas(int(steps))[:-1]).long()
            yield Result(name, 0.0 if torch.equal(ours, tensor) else float("inf"), 0.0)


def compare_universe(path: Path) -> Iterator[Result]:
    """All cases of a file."""
    reference = UniverseReference(path)
    yield from compare_schedules(reference)
    for name, case in reference.cases.items():
        if case.get("detail"):
            yield from compare_inside(reference, name)
        yield from compare_universe_forward(reference, name)
    for name, case in reference.trajectories.items():
        yield from compare_universe_trajectory(reference, name, case)
