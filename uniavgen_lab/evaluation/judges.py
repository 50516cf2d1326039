"""Two small classifiers of sound: which kind of speaker it is, and in which mood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from uniavgen_core.audio.mel import log_mel
from uniavgen_core.config import MEL_BANDS
from uniavgen_core.joint_latent import normalise_mel
from uniavgen_core.tiny.people import KINDS

from ..world.sentences import MOODS

JUDGES_FILE = Path(__file__).with_name("judges.safetensors")
WIDTHS = (48, 64, 64)
"""Channels after each convolution."""
NAMES = {"kind": KINDS, "mood": MOODS}
"""What each judge tells apart."""


class Judge(nn.Module):
    """Convolutions over time, whose outputs' means and deviations over the whole sound decide."""

    def __init__(self, classes: int):
        super().__init__()
        first, second, third = WIDTHS
        self.layers = nn.Sequential(
            nn.Conv1d(MEL_BANDS, first, 5, stride=2),
            nn.GELU(),
            nn.Conv1d(first, second, 5, stride=2),
            nn.GELU(),
            nn.Conv1d(second, third, 3),
            nn.GELU(),
        )
        self.head = nn.Linear(2 * third, classes)

    def forward(self, mel: Tensor) -> Tensor:
        """Scores (batch, classes) of normalised log-mel (batch, L, 80), all of one length."""
        heard = self.layers(mel.transpose(1, 2))
        deviation = heard.var(dim=2, correction=0).add(1e-5).sqrt()
        return self.head(torch.cat((heard.mean(dim=2), deviation), dim=1))


@dataclass(frozen=True)
class Judges:
    """The judges of a speaker's kind and mood, by those names, and what is recorded of them."""

    parts: Mapping[str, Judge]
    accuracy: Mapping[str, float]
    """Share of held-out corpus clips that each judges rightly."""

    @torch.no_grad()
    def __call__(self, waveform: numpy.ndarray) -> dict[str, str]:
        """The kind and the mood heard in a sound (samples) at 24 kHz, which must be as loud as the model made it."""
        mel = normalise_mel(log_mel(torch.from_numpy(numpy.ascontiguousarray(waveform)))).unsqueeze(0)
        return {name: NAMES[name][int(judge(mel).argmax())] for name, judge in self.parts.items()}


def load_judges(path: Path = JUDGES_FILE) -> Judges:
    """The judges that come with the package.

    Raises:
        FileNotFoundError: their file is absent.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is absent: it comes with the package, and is made anew by "
            "`python -m uniavgen_lab.evaluation.train_judges`."
        )
    parts = {name: Judge(len(classes)).eval() for name, classes in NAMES.items()}
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        for name, judge in parts.items():
            judge.load_state_dict({key: file.get_tensor(f"{name}.{key}").float() for key in judge.state_dict()})
    return Judges(parts, json.loads(metadata["accuracy"]))


def save_judges(path: Path, judges: Judges, provenance: Mapping[str, str]) -> None:
    """Write judges in half precision, with their accuracy and what they come from in the metadata."""
    tensors = {
        f"{name}.{key}": tensor.half().contiguous()
        for name, judge in judges.parts.items()
        for key, tensor in judge.state_dict().items()
    }
    save_file(tensors, path, metadata={"accuracy": json.dumps(dict(judges.accuracy)), **provenance})
