"""Models that look at frames: how beautiful and how sharp they are, what is in them, how they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uniavgen_core.files import needed

from .bench_formulas import flow_size, padded_for_flow
from .bench_models import EXTRA, read_weights

FRAMES_A_BATCH = 8
FLOW_UPDATES = 20
HEAD = "scoring_head"
CROPS, CROP_SIDE = 20, 224
"""Parts of a frame that MANIQA looks at."""
RAFT_NAMES = (
    ("fnet.", "feature_encoder."),
    ("cnet.", "context_encoder."),
    ("encoder.conv1.", "encoder.convnormrelu.0."),
    ("encoder.norm1.", "encoder.convnormrelu.1."),
    ("encoder.conv2.", "encoder.conv."),
    ("update_block.encoder.convc1.", "update_block.motion_encoder.convcorr1.0."),
    ("update_block.encoder.convc2.", "update_block.motion_encoder.convcorr2.0."),
    ("update_block.encoder.convf1.", "update_block.motion_encoder.convflow1.0."),
    ("update_block.encoder.convf2.", "update_block.motion_encoder.convflow2.0."),
    ("update_block.encoder.conv.", "update_block.motion_encoder.conv.0."),
    ("update_block.gru.conv{gate}1.", "update_block.recurrent_block.convgru1.conv{gate}."),
    ("update_block.gru.conv{gate}2.", "update_block.recurrent_block.convgru2.conv{gate}."),
    ("update_block.mask.0.", "mask_predictor.convrelu.0."),
    ("update_block.mask.2.", "mask_predictor.conv."),
)
"""RAFT's own names of weights, and torchvision's, in the order in which they are replaced."""

FrameScores = Callable[[NDArray[numpy.uint8]], NDArray[numpy.floating]]
"""Scores (F) of frames (F, height, width, 3) of bytes."""
FrameTokens = Callable[[NDArray[numpy.uint8]], NDArray[numpy.floating]]
"""Features (F, tokens, width) of frames."""
Flow = Callable[[Tensor, Tensor], Tensor]
"""Flow (n, 2, height, width) in pixels from frames (n, 3, height, width) of values 0..255 to others."""


def _batches(frames: NDArray[numpy.uint8]) -> Iterator[NDArray[numpy.uint8]]:
    for start in range(0, len(frames), FRAMES_A_BATCH):
        yield frames[start : start + FRAMES_A_BATCH]


class AestheticPredictor:
    """Aesthetic Predictor v2.5: linear layers in a row on SigLIP's unit features. Scores from 1 to 10.

    Args:
        paths: of the layers, and SigLIP's folder as transformers saves it.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        transformers = needed("transformers", "for the aesthetic score", EXTRA)
        head, siglip = paths
        weights = {name: x.to(device) for name, x in read_weights(head).items()}
        numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith(HEAD)})
        self._layers = [[weights[f"{HEAD}.{number}.{part}"] for part in ("weight", "bias")] for number in numbers]
        self._processor = transformers.AutoImageProcessor.from_pretrained(siglip, local_files_only=True)
        model = transformers.SiglipVisionModel.from_pretrained(siglip, local_files_only=True)
        self._model, self._device = model.eval().to(device), device

    @torch.inference_mode()
    def __call__(self, frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
        scores = []
        for batch in _batches(frames):
            pixels = self._processor(images=list(batch), return_tensors="pt").pixel_values
            features = functional.normalize(self._model(pixels.to(self._device)).pooler_output, dim=-1)
            for layer in self._layers:
                features = functional.linear(features, *layer)
            scores.append(features.squeeze(-1).cpu())
        return torch.cat(scores).numpy()


class ImageQuality:
    """A quality score of the library pyiqa, with weights from a file.

    Args:
        metric: its name there.
        longest: frames whose longer side has more pixels are made smaller first; None takes them as they are.
    """

    def __init__(self, metric: str, paths: Sequence[Path], device: torch.device, longest: int | None = None) -> None:
        pyiqa, timm = (needed(name, "for the image's quality", EXTRA) for name in ("pyiqa", "timm"))
        create = timm.create_model

        def create_bare(*args: Any, **keywords: Any) -> Any:
            return create(*args, **keywords | {"pretrained": False})

        # All weights come from the file; MANIQA would fetch those of its backbone first.
        with patch.object(timm, "create_model", create_bare):
            self._metric = pyiqa.create_metric(metric, device=device, pretrained=False)
        self._metric.net.load_state_dict(read_weights(paths[0]))
        self._device, self._longest = device, longest

    @torch.inference_mode()
    def __call__(self, frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
        return numpy.array([self._score(frame) for frame in frames])

    def _score(self, frame: NDArray[numpy.uint8]) -> float:
        pixels = as_tensor(frame[None]).to(self._device) / 255
        if self._longest is not None and max(pixels.shape[-2:]) > self._longest:
            size = [self._longest * side // max(pixels.shape[-2:]) for side in pixels.shape[-2:]]
            pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=False)
        return float(self._metric(pixels))


class CroppedQuality(ImageQuality):
    """MANIQA's score: the mean over parts of a frame at random places, the same in each run."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        super().__init__("maniqa", paths, device)
        self._network = needed("pyiqa.archs.maniqa_arch", "for the image's quality", EXTRA)

    def __call__(self, frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
        random = numpy.random.default_rng(0)
        # The library's own parts lie on a grid, and count by the weights of all their patches.
        crops: dict[str, Any] = dict.fromkeys(("uniform_crop", "random_crop"), lambda pixels, *_, **options: pixels)
        with torch.inference_mode(), patch.multiple(self._network, create=True, **crops):
            parts = (as_tensor(random_crops(frame, random)).to(self._device) / 255 for frame in frames)
            return numpy.array([float(self._metric(each).mean()) for each in parts])


def random_crops(frame: NDArray[numpy.uint8], random: numpy.random.Generator) -> NDArray[numpy.uint8]:
    """20 parts (20, 224, 224, 3) of a frame (height, width, 3).

    Raises:
        ValueError: the frame is smaller.
    """
    if min(frame.shape[:2]) < CROP_SIDE:
        raise ValueError(f"its frames have fewer than {CROP_SIDE} pixels on a side, which MANIQA looks at")
    corners = random.integers(0, numpy.array(frame.shape[:2]) - CROP_SIDE, size=(CROPS, 2), endpoint=True)
    return numpy.stack([frame[top : top + CROP_SIDE, left : left + CROP_SIDE] for top, left in corners])


class VisionTokens:
    """The tokens of a vision transformer's last layer, with the folder's own preparation of images.

    Args:
        paths: the model's folder as transformers saves it.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        transformers = needed("transformers", "for what is in the image", EXTRA)
        self._processor = transformers.AutoImageProcessor.from_pretrained(paths[0], local_files_only=True)
        self._model = transformers.AutoModel.from_pretrained(paths[0], local_files_only=True).eval().to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
        tokens = []
        for batch in _batches(frames):
            pixels = self._processor(images=list(batch), return_tensors="pt").pixel_values
            tokens.append(self._model(pixels.to(self._device)).last_hidden_state.cpu())
        return torch.cat(tokens).numpy()


class DinoFeatures(VisionTokens):
    """DINO's class token (F, 1, width) of frames whose shorter side is 224 pixels, as VBench takes it."""

    SIDE = 224
    MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    @torch.inference_mode()
    def __call__(self, frames: NDArray[numpy.uint8]) -> NDArray[numpy.floating]:
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (self.MEAN, self.DEVIATION))
        tokens = []
        for batch in _batches(frames):
            pixels = as_tensor(batch)
            size = [self.SIDE * side // min(pixels.shape[-2:]) for side in pixels.shape[-2:]]
            pixels = (functional.interpolate(pixels, size, mode="bilinear") / 255 - mean) / deviation
            seen = self._model(pixels.to(self._device), interpolate_pos_encoding=True).last_hidden_state
            tokens.append(seen[:, :1].cpu())
        return torch.cat(tokens).numpy()


class OpticalFlow:
    """RAFT as torchvision has it, with its authors' weights under their names or torchvision's."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        models = needed("torchvision.models.optical_flow", "for motion", EXTRA)
        self._model = models.raft_large(weights=None, progress=False)
        self._model.load_state_dict(torchvision_names(read_weights(paths[0])))
        self._model.eval().to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        pair = (2 * frames.to(self._device) / 255 - 1 for frames in (one, other))
        flow: Tensor = self._model(*pair, num_flow_updates=FLOW_UPDATES)[-1]
        return flow.cpu()


def torchvision_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """RAFT's weights under torchvision's names, whichever they have."""
    return {_torchvision_name(name): value for name, value in weights.items() if ".norm3." not in name}


def _torchvision_name(name: str) -> str:
    for theirs, ours in RAFT_NAMES:
        for gate in "zrq" if "{gate}" in theirs else "-":
            name = name.replace(theirs.format(gate=gate), ours.format(gate=gate))
    if ".layer" in name:
        for number in "12":
            name = name.replace(f".conv{number}.", f".convnormrelu{number}.0.")
            name = name.replace(f".norm{number}.", f".convnormrelu{number}.1.")
    return name


def as_tensor(frames: NDArray[numpy.uint8]) -> Tensor:
    """Frames (n, 3, height, width) of values 0..255."""
    return rearrange(torch.from_numpy(numpy.ascontiguousarray(frames)), "n h w c -> n c h w").float()


def frame_flows(frames: NDArray[numpy.uint8], flow: Flow, made_smaller: bool) -> Iterator[Tensor]:
    """Flow (2, height, width) between neighbouring frames, its sides multiples of 8.

    Args:
        made_smaller: whether frames are halved until both sides are at most 640 pixels.
    """
    height, width = flow_size(*frames.shape[1:3]) if made_smaller else frames.shape[1:3]
    for index in range(len(frames) - 1):
        pair = as_tensor(frames[index : index + 2])
        if pair.shape[-2:] != (height, width):
            pair = functional.interpolate(pair, (height, width), mode="bilinear").round()
        one, other = padded_for_flow(pair).split(1)
        yield flow(one, other)[0]
