"""Each node with anything that its sockets may hold: a result, or a sentence, and no file left behind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clips
import folder_paths
import pytest
import torch
from comfy.nested_tensor import NestedTensor
from comfy_api.latest import InputImpl, io
from pack.nodes import NODES
from pack.nodes.comfy_long_form import EncodedScript
from pack.uniavgen_core.long_form.script import parse_script

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is compiled for another Python than ComfyUI's")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

WANTED = os.environ.get("UNIAVGEN_FUZZ", "")
INPUTS = 10_000 if WANTED == "many" else int(WANTED or 100)
EACH = max(1, INPUTS // len(NODES))
"""Inputs for each node: as many for all of them as other readers get."""
UNSEEN = {"UniAVGenLongForm", "UniAVGenSampler", "UniAVGenFaceMap", "UniAVGenSaveSubtitled", "UniAVGenWaveform"}
"""Nodes that take seconds for one good input or what only a run makes, or save; other tests of this folder run them."""
fuzzed = settings(
    max_examples=EACH,
    derandomize=not WANTED,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
NAN = float("nan")
IMAGES = [
    lambda: clips.pictures(1),
    lambda: clips.pictures(20),
    lambda: clips.pictures(2) * NAN,
    lambda: clips.pictures(2)[..., :1],
    lambda: torch.rand(1, 64, 64, 4),
    lambda: torch.zeros(0, 64, 64, 3),
    lambda: torch.zeros(1, 1, 1, 3),
    lambda: torch.rand(1, 8, 700, 3),
    lambda: torch.rand(64, 64, 3),
    lambda: None,
]
SOUNDS = [
    lambda: clips.chirp(1.0),
    lambda: clips.chirp(0.001),
    lambda: {"waveform": torch.zeros(1, 1, 0), "sample_rate": 24_000},
    lambda: {"waveform": torch.zeros(1, 2, 24_000), "sample_rate": 8000},
    lambda: {"waveform": torch.full((1, 1, 9000), NAN), "sample_rate": 44_100},
    lambda: {"waveform": torch.rand(2, 1, 9000), "sample_rate": 44_100},
    lambda: {"waveform": torch.rand(1, 9, 9000) * 1e9, "sample_rate": 48_000},
    lambda: None,
]
LATENTS = [
    clips.joint,
    lambda: clips.joint(batch=2),
    lambda: clips.joint(rows=3),
    lambda: {"samples": torch.zeros(1, 48, 3, 4, 6)},
    lambda: {"samples": torch.zeros(1, 4, 8, 8)},
    lambda: {"samples": NestedTensor([torch.zeros(1, 48, 3, 4, 6), torch.full((1, 80, 90), NAN)])},
    lambda: clips.joint() | {"noise_mask": torch.full((1, 1, 64, 96), 0.5)},
]
MASKS = [
    clips.left_half,
    lambda: clips.left_half(20),
    lambda: torch.zeros(1, 64, 64),
    lambda: torch.zeros(0, 64, 64),
    lambda: torch.full((1, 64, 64), NAN),
    lambda: torch.rand(64, 64),
    lambda: None,
]
CONDITIONS = [
    lambda: clips.caption(2),
    lambda: clips.conditions()[0],
    lambda: clips.conditions(clips.reference_voice())[1],
    lambda: [[torch.zeros(1, 12, 99), {}]],
    lambda: [],
]
SIGMAS = [lambda: torch.linspace(1, 0, 5), lambda: torch.zeros(0), lambda: torch.tensor([NAN, 0.0])]


VALUES: dict[str, Sequence[Any]] = {
    "IMAGE": IMAGES,
    "AUDIO": SOUNDS,
    "LATENT": LATENTS,
    "MASK": MASKS,
    "CONDITIONING": CONDITIONS,
    "SIGMAS": SIGMAS,
    "MODEL": [clips.model],
    "VAE": [clips.tiny_vae, lambda: object()],
    "VIDEO": [lambda: film(slice(None)), lambda: film(slice(0, 900)), lambda: film(slice(700, None)), lambda: None],
    "CLIP": [lambda: None],
    "GUIDER": [lambda: clips.guider_of(clips.model())],
    "UNIAVGEN_SCRIPT": [lambda: EncodedScript(parse_script("A woman. | Hello."), None)],
}
TEXTS = [
    "",
    " ",
    "Hello.",
    "你好。",
    "привет",
    "a | b | c",
    "A woman. | Hello.\n| [pause 99]",
    "\0",
    "9" * 5000,
    "[a|b]",
]


def film(part: slice) -> Any:
    """A VIDEO from a file of which only a part is there."""
    from pack.uniavgen_core.media.muxing import write_video

    whole = clips.base() / "film.mp4"
    if not whole.exists():
        write_video(whole, clips.pictures(20), 16)
    path = clips.base() / f"part_{part.start}_{part.stop}.mp4"
    path.write_bytes(whole.read_bytes()[part])
    return InputImpl.VideoFromFile(str(path))


def value(data: st.DataObject, given: Any) -> Any:
    """Something for an input, within what ComfyUI itself lets pass."""
    if isinstance(given, io.DynamicCombo.Input):
        option = data.draw(st.sampled_from(given.options))
        return {given.id: option.key} | arguments(data, option.inputs)
    if isinstance(given, io.Combo.Input):
        return data.draw(st.sampled_from(given.options))
    if isinstance(given, io.Boolean.Input):
        return data.draw(st.booleans())
    if isinstance(given, io.Int.Input | io.Float.Input):
        # Large clips are for the benchmarks.
        least = given.min if given.min is not None else 0
        most = min(given.max, least + 96) if given.max is not None else least + 96
        drawn = st.integers(least, most) if isinstance(given, io.Int.Input) else st.floats(least, most)
        return data.draw(drawn | st.sampled_from([least, most, given.default if given.default is not None else least]))
    if isinstance(given, io.String.Input):
        return data.draw(st.sampled_from(TEXTS))
    kinds = [kind for kind in given.get_io_type().split(",") if kind in VALUES]
    if not kinds:
        return None
    return data.draw(st.sampled_from([make for kind in kinds for make in VALUES[kind]]))()


def arguments(data: st.DataObject, inputs: Sequence[Any]) -> dict[str, Any]:
    return {one.id: value(data, one) for one in inputs if not (one.optional and data.draw(st.booleans()))}


def files() -> set[Path]:
    """What lies in ComfyUI's folders, but for clips that a VIDEO plays from temp."""
    folders = (
        folder_paths.get_output_directory(),
        folder_paths.get_input_directory(),
        folder_paths.get_temp_directory(),
    )
    return {path for folder in folders for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".mp4"}


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("node", [one for one in NODES if one.define_schema().node_id not in UNSEEN])
def test_any_input(node: Any, data: st.DataObject) -> None:
    schema = node.define_schema()
    given = arguments(data, schema.inputs)
    before = files()
    try:
        node.execute(**given)
    except (ValueError, OSError) as error:
        assert str(error).strip(), given
        assert len(str(error)) < 10_000
    assert files() == before
