"""Verse-Bench's formulas, on features, probabilities and texts, whichever models gave them.

Source: the published code of the benchmark (Dorniwang/Verse-Bench, Apache-2.0), in words in docs/verse_bench.md.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from statistics import fmean, harmonic_mean

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchaudio.functional import edit_distance

PEAK_DECIBEL = -1.0
FULL_SCALE = 32_767
SMALLEST_PROBABILITY = 1e-6
LONGEST_SIDE = 640
"""Pixels of a frame whose flow is measured."""
FLOW_STEP = 8
"""Pixels that the sides of such a frame are multiples of."""
PUNCTUATION = set(string.punctuation)

BOUNDS: dict[str, tuple[float, float]] = {
    "AS": (0, 1),
    "ID": (0, 1),
    "FD": (3, 0),
    "KL": (4, 0),
    "CS": (0, 1),
    "CE": (1, 10),
    "CU": (1, 10),
    "PC": (10, 1),
    "PQ": (1, 10),
    "WER": (1, 0),
    "LSE-C": (0, 10),
    "AV-A": (1, 0),
}
"""Of each measure the value that counts 0 in the overall score, and the one that counts 1."""
PARTS: dict[str, tuple[str, ...]] = {
    "video": ("AS", "ID"),
    "audio": ("FD", "KL", "CS", "CE", "CU", "PC", "PQ"),
    "other": ("WER", "LSE-C"),
    "joint": ("CS", "AV-A"),
}
WEIGHTS = {"joint": 0.5, "video": 0.2, "audio": 0.2, "other": 0.1}
OVERALL = "overall"


def cosine(one: NDArray[numpy.floating], other: NDArray[numpy.floating]) -> float:
    """Of two vectors."""
    return float(one @ other / (numpy.linalg.norm(one) * numpy.linalg.norm(other)))


def frechet_distance(one: NDArray[numpy.floating], other: NDArray[numpy.floating]) -> float | None:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) of two sets of features (n, d); None where a set has fewer than two.

    With centred features X and Y, Σ₁ Σ₂ has the squared singular values of X Yᵀ for its eigenvalues (with n - 1 and
    m - 1 divided out), so that the trace of its root is their sum, without the root of a matrix that is singular.
    """
    if min(len(one), len(other)) < 2:
        return None
    mean, other_mean = one.mean(axis=0), other.mean(axis=0)
    x, y = (one - mean) / (len(one) - 1) ** 0.5, (other - other_mean) / (len(other) - 1) ** 0.5
    # X and Y may be turned each by itself: their triangular factors have as many rows as a feature has values at most.
    between = numpy.linalg.norm(numpy.linalg.qr(x).R @ numpy.linalg.qr(y).R.T, ord="nuc")
    return float(numpy.square(mean - other_mean).sum() + numpy.square(x).sum() + numpy.square(y).sum() - 2 * between)


def divergence(reference: NDArray[numpy.floating], made: NDArray[numpy.floating]) -> float:
    """Kullback and Leibler's divergence of what is heard in the original from what is heard in the made sound.

    Σ p (ln p - ln(q + 1e-6)), with p and q the softmax of scores (classes).
    """
    p, q = (torch.from_numpy(scores).double().softmax(dim=0) for scores in (reference, made))
    return float((torch.special.xlogy(p, p) - p * (q + SMALLEST_PROBABILITY).log()).sum())


def listening_windows(waveform: NDArray[numpy.float32], rate: int, seconds: int, step: int) -> NDArray[numpy.float32]:
    """Windows (n, samples) of a sound, one each `step` seconds; one that is not full is filled with silence."""
    length, stride = seconds * rate, step * rate
    starts = range(0, max(stride, len(waveform) - stride), stride)
    pieces = [waveform[start : start + length] for start in starts]
    return numpy.stack([numpy.pad(piece, (0, length - len(piece))) for piece in pieces])


def at_peak(waveform: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """A sound whose largest sample is 1 dB below full scale; silence as it is."""
    most = numpy.abs(waveform).max(initial=0)
    return waveform * numpy.float32(10 ** (PEAK_DECIBEL / 20) / most) if most else waveform


def in_16_bits(waveform: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    """A sound as 16 bits hold it, rounded towards zero."""
    whole = (waveform.clip(-1, 1) * numpy.float32(FULL_SCALE)).astype(numpy.int16)
    return (whole / numpy.float32(FULL_SCALE)).astype(numpy.float32)


def published_word_error(text: str, heard: str) -> float:
    """Word errors over words, in lower case, with the punctuation that both have; words are parted by spaces.

    Raises:
        ValueError: there is no text.
    """
    if set(heard.strip()) <= PUNCTUATION:
        heard = ""
    wanted, said = (words.strip().lower().split() for words in (text, heard))
    if not wanted:
        raise ValueError("there are no words to compare with")
    return edit_distance(wanted, said) / len(wanted)


def flow_size(height: int, width: int) -> tuple[int, int]:
    """The size at which motion is measured: halved until both sides are at most 640."""
    while max(height, width) > LONGEST_SIDE:
        height, width = height // 2, width // 2
    return height, width


def padded_for_flow(frames: Tensor) -> Tensor:
    """Frames (n, 3, height, width) with sides that are multiples of 8, their edges repeated."""
    down, across = (-size % FLOW_STEP for size in frames.shape[-2:])
    edges = (across // 2, across - across // 2, down // 2, down - down // 2)
    return functional.pad(frames, edges, mode="replicate")


def scores(totals: Mapping[str, float | None]) -> dict[str, float | None]:
    """The four parts of the overall score, and the score, all from 0 to 1; None where a measure is missing."""
    counted = {name: _share(name, totals.get(name)) for name in BOUNDS}
    parts: dict[str, float | None] = {}
    for part, names in PARTS.items():
        values = [value for name in names if (value := counted[name]) is not None]
        mean = harmonic_mean if part == "joint" else fmean
        parts[part] = mean(values) if len(values) == len(names) else None
    known = {part: value for part, value in parts.items() if value is not None}
    whole = sum(WEIGHTS[part] * value for part, value in known.items()) if len(known) == len(PARTS) else None
    return {**parts, OVERALL: whole}


def _share(name: str, value: float | None) -> float | None:
    """How far a value is on the way from the worst to the best."""
    if value is None:
        return None
    worst, best = BOUNDS[name]
    return min(1.0, max(0.0, (value - worst) / (best - worst)))
