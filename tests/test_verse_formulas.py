"""Verse-Bench's formulas, each against another computation of it."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from uniavgen_lab.verse_bench.bench_formulas import (
    at_peak,
    divergence,
    flow_size,
    frechet_distance,
    in_16_bits,
    listening_windows,
    padded_for_flow,
    published_word_error,
    scores,
)
from uniavgen_lab.verse_bench.bench_measures import fastest_motion, is_dynamic


@pytest.mark.parametrize(("first", "second", "width"), [(40, 30, 6), (5, 7, 12), (2, 2, 3)])
def test_frechet_distance_is_that_of_the_matrix_root(first: int, second: int, width: int) -> None:
    """Also where a covariance is singular: of fewer features than their width."""
    linalg = pytest.importorskip("scipy.linalg", reason="SciPy is not installed")
    random = numpy.random.default_rng(first)
    one = random.normal(size=(first, width)) @ random.normal(size=(width, width))
    other = random.normal(1, 2, size=(second, width))
    covariances = [numpy.cov(part, rowvar=False) + 1e-9 * numpy.eye(width) for part in (one, other)]
    difference = one.mean(axis=0) - other.mean(axis=0)
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    expected = difference @ difference + numpy.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_gaussians_and_of_one_pair() -> None:
    random = numpy.random.default_rng(0)
    one, other = random.normal(0, 1, (200_000, 1)), random.normal(3, 2, (200_000, 1))
    assert frechet_distance(one, other) == pytest.approx(3**2 + (2 - 1) ** 2, rel=0.02)
    assert frechet_distance(one[:1], other[:1]) is None
    assert frechet_distance(one[:1], other) is None


def test_divergence_goes_from_the_original_to_what_was_made() -> None:
    reference, made = numpy.array([2.0, 0.0, -1.0]), numpy.array([0.5, 0.5, 3.0])
    p, q = ([math.exp(x) / sum(map(math.exp, scores)) for x in scores] for scores in (reference, made))
    expected = sum(a * (math.log(a) - math.log(b + 1e-6)) for a, b in zip(p, q, strict=True))
    assert divergence(reference, made) == pytest.approx(expected)
    assert divergence(made, reference) != pytest.approx(expected)
    assert divergence(reference, reference) == pytest.approx(0, abs=1e-5)
    impossible = numpy.array([0.0, -2000.0])
    assert divergence(impossible, numpy.array([-2000.0, 0.0])) == pytest.approx(-math.log(1e-6))
    assert divergence(numpy.array([0.0, -2000.0]), impossible) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "starts"), [(1, [0]), (5, [0]), (9, [0]), (10, [0]), (12, [0, 5]), (15, [0, 5]), (16, [0, 5, 10])]
)
def test_windows_are_ten_seconds_each_five(seconds: int, starts: list[int]) -> None:
    rate = 7
    sound = numpy.arange(1, seconds * rate + 1, dtype=numpy.float32)
    windows = listening_windows(sound, rate, 10, 5)
    assert windows.shape == (len(starts), 70)
    for window, start in zip(windows, starts, strict=True):
        piece = sound[start * rate : start * rate + 70]
        assert numpy.array_equal(window[: len(piece)], piece) and not window[len(piece) :].any()


def test_sound_is_brought_to_its_peak_and_to_16_bits() -> None:
    sound = numpy.array([0.1, -0.2, 0.05], dtype=numpy.float32)
    assert 20 * math.log10(abs(at_peak(sound)).max()) == pytest.approx(-1, abs=1e-5)
    assert not at_peak(numpy.zeros(4, dtype=numpy.float32)).any()
    held = in_16_bits(numpy.array([-2, -0.7 / 32767, 1.9 / 32767, 0.5, 1], dtype=numpy.float32))
    assert (held * 32767).round(3).tolist() == [-32767, 0, 1, 16383, 32767]


def distance(wanted: list[str], heard: list[str]) -> int:
    """Levenshtein's, by its definition."""
    if not wanted or not heard:
        return len(wanted) + len(heard)
    if wanted[0] == heard[0]:
        return distance(wanted[1:], heard[1:])
    return 1 + min(distance(wanted[1:], heard), distance(wanted, heard[1:]), distance(wanted[1:], heard[1:]))


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("Good evening, friends.", " good evening, friends. "),
        ("Good evening, friends.", "good evening friends"),
        ("One two three", "one  two two four three"),
        ("one", "a b c d"),
        ("two red birds", "birds two red"),
    ],
)
def test_word_error_keeps_punctuation(text: str, heard: str) -> None:
    expected = distance(text.lower().split(), heard.lower().split()) / len(text.split())
    assert published_word_error(text, heard) == pytest.approx(expected)


def test_nothing_but_punctuation_is_nothing_heard() -> None:
    assert published_word_error("Hello there.", " .?! ") == published_word_error("Hello there.", "") == 1
    with pytest.raises(ValueError, match="no words"):
        published_word_error("  ", "hello")


PERFECT = {
    "AS": 1, "ID": 1, "FD": 0, "KL": 0, "CS": 1, "CE": 10, "CU": 10, "PC": 1, "PQ": 10, "WER": 0, "LSE-C": 10,
    "AV-A": 0,
}  # fmt: skip


def test_overall_score() -> None:
    assert scores(PERFECT) == {"video": 1, "audio": 1, "other": 1, "joint": 1, "overall": pytest.approx(1)}
    worst = {"AS": -1, "ID": 0, "FD": 9, "KL": 4, "CS": 0, "CE": 1, "CU": 1, "PC": 10, "PQ": 1, "WER": 3, "LSE-C": -1}
    assert set(scores({**worst, "AV-A": 1}).values()) == {0}
    # UniVerse-1's published values, with others in the gaps, by hand.
    row = {**PERFECT, "AS": 0.47, "ID": 0.89, "FD": 1.25, "KL": 2.7, "CS": 0.16, "LSE-C": 1.34, "AV-A": 0.23}
    found = scores(row | {"CE": 5.5, "CU": 5.5, "PC": 5.5, "PQ": 5.5, "WER": 0.25})
    video, other = (0.47 + 0.89) / 2, (0.75 + 0.134) / 2
    audio = ((3 - 1.25) / 3 + (4 - 2.7) / 4 + 0.16 + 4 * 0.5) / 7
    joint = 2 * 0.16 * 0.77 / (0.16 + 0.77)
    assert found == pytest.approx({
        "video": video, "audio": audio, "other": other, "joint": joint,
        "overall": 0.5 * joint + 0.2 * video + 0.2 * audio + 0.1 * other,
    })  # fmt: skip


def test_a_missing_measure_takes_its_parts_along() -> None:
    found = scores({**PERFECT, "FD": None})
    assert found["audio"] is found["overall"] is None
    assert found["video"] == found["joint"] == 1


def test_frames_are_made_smaller_for_flow() -> None:
    assert flow_size(480, 768) == (240, 384)
    assert flow_size(640, 640) == (640, 640)
    assert flow_size(1281, 2000) == (320, 500)
    frames = torch.arange(9.0).view(1, 1, 3, 3).expand(-1, 3, -1, -1)
    padded = padded_for_flow(frames)[0, 0]
    assert padded.shape == (8, 8)
    assert padded[0, 0] == 0 and padded[-1, -1] == 8 and padded[2, 2:5].tolist() == [0, 1, 2]


def test_motion_by_vbenchs_rule() -> None:
    flow = torch.zeros(2, 10, 20)
    flow[:, :1, :10] = torch.tensor([3.0, 4.0]).view(2, 1, 1)
    assert fastest_motion(flow) == pytest.approx(5)
    # 16 frames at 8 a second and 256 pixels: 4 flows above 6 pixels.
    assert is_dynamic([7] * 4 + [0] * 11, 16, (256, 400), 8)
    assert not is_dynamic([7] * 3 + [6] * 12, 16, (256, 400), 8)
    assert not is_dynamic([7] * 15, 16, (512, 600), 25)
    assert not is_dynamic([7] * 15, 16, (256, 400), 4)
