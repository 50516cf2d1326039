"""The corpus's voices: sound and phoneme times of espeak-ng."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import numpy as np
import pytest

from uniavgen_core.config import SAMPLE_RATE
from uniavgen_core.tiny.people import KINDS
from uniavgen_lab.world.sentences import MOODS, draw_sentence
from uniavgen_lab.world.synthesiser import Speech, Synthesiser, Voice

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed: it brings the corpus's voices")
SENTENCE = "Hello, two blue cats."


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    return Synthesiser()


def pitch(speech: Speech) -> float:
    """Median frequency in Hz of the vowels, by autocorrelation."""
    frequencies = []
    for phoneme in speech.phonemes:
        if phoneme.symbol not in ("u:", "oU", "a", "aI", "i:", "E", "I"):
            continue
        middle = round((phoneme.start + phoneme.end) / 2 * SAMPLE_RATE)
        frame = speech.samples[max(middle - 600, 0) : middle + 600].astype(np.float64)
        correlation = np.correlate(frame, frame, "full")[len(frame) - 1 :] / np.arange(len(frame), 0, -1)
        shortest, longest = SAMPLE_RATE // 500, SAMPLE_RATE // 70
        strongest = correlation[shortest:longest].max()
        period = shortest + int(np.argmax(correlation[shortest:longest] > 0.85 * strongest))
        while correlation[period + 1] > correlation[period]:
            period += 1
        frequencies.append(SAMPLE_RATE / period)
    return float(np.median(frequencies))


def test_same_input_gives_same_samples_whatever_was_said_before(synthesiser: Synthesiser) -> None:
    voice = Voice.of("grandfather", "happy", 5)
    first = synthesiser.speak(SENTENCE, voice)
    synthesiser.speak("You see nine horses.", Voice.of("woman", "sad", 1))
    again = Synthesiser().speak(SENTENCE, voice)
    assert np.array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes


def test_temporary_files_may_lie_anywhere(
    synthesiser: Synthesiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder + (its name)" / ("long" * 50)
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    assert len(synthesiser.speak(SENTENCE, Voice.of("man", "neutral", 0)).samples) > SAMPLE_RATE


def test_phonemes_are_those_of_the_words_in_order(synthesiser: Synthesiser) -> None:
    speech = synthesiser.speak(SENTENCE, Voice.of("man", "neutral", 0))
    assert [phoneme.symbol for phoneme in speech.phonemes] == "h @ l oU t u: b l u: k a t s".split()
    times = [time for phoneme in speech.phonemes for time in (phoneme.start, phoneme.end)]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] == pytest.approx(len(speech.samples) / SAMPLE_RATE, abs=1e-3)


def test_phoneme_times_fit_the_sound(synthesiser: Synthesiser) -> None:
    """Vowels sound, the pause after the comma and the closure of a voiceless stop are silent."""
    speech = synthesiser.speak(SENTENCE, Voice.of("woman", "neutral", 0))

    def loudness(start: float, end: float) -> float:
        return float(np.sqrt(np.square(speech.samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]).mean()))

    hello, two = speech.phonemes[3], speech.phonemes[4]
    assert two.start - hello.end > 0.05
    assert loudness(hello.end + 0.01, two.start) < 0.002
    vowels = [
        loudness(phoneme.start, phoneme.end) for phoneme in speech.phonemes if phoneme.symbol in ("u:", "oU", "a")
    ]
    assert min(vowels) > 0.03
    voiceless = [phoneme for phoneme in speech.phonemes[4:] if phoneme.symbol in ("t", "k")]
    assert len(voiceless) == 3
    for stop in voiceless:
        assert loudness(stop.start + 0.002, stop.start + 0.015) < 0.1 * min(vowels)


def test_kinds_have_separate_pitch_and_timbre(synthesiser: Synthesiser) -> None:
    pitches = {
        kind: [
            pitch(synthesiser.speak("You see nine pink cats.", Voice.of(kind, "neutral", seed))) for seed in range(1, 5)
        ]
        for kind in KINDS
    }
    order = sorted(KINDS, key=lambda kind: min(pitches[kind]))
    assert order == ["man", "grandfather", "woman", "child"]
    for lower, higher in zip(order, order[1:], strict=False):
        assert max(pitches[lower]) * 1.1 < min(pitches[higher])
    assert len({round(Voice.of(kind, "neutral", 1).formants, 1) for kind in KINDS}) == 4


def test_moods_differ_in_pitch_loudness_and_rate(synthesiser: Synthesiser) -> None:
    voices = {mood: Voice.of("woman", mood, 3) for mood in MOODS}
    said = {mood: synthesiser.speak("We love eight green birds.", voice) for mood, voice in voices.items()}
    for mood, speech in said.items():
        assert np.abs(speech.samples).max() == pytest.approx(voices[mood].peak)
    seconds = {mood: len(speech.samples) / SAMPLE_RATE for mood, speech in said.items()}
    assert max(seconds["happy"], seconds["angry"]) < 0.95 * seconds["neutral"]
    assert seconds["neutral"] < 0.95 * seconds["sad"]
    assert pitch(said["sad"]) < 0.95 * pitch(said["neutral"]) < 0.9 * pitch(said["happy"])
    peaks = [voices[mood].peak for mood in ("sad", "neutral", "happy", "angry")]
    assert peaks == sorted(set(peaks))


def test_rate_is_that_which_durations_are_estimated_by(synthesiser: Synthesiser) -> None:
    random = Random(0)
    characters = seconds = 0.0
    for index in range(24):
        sentence = draw_sentence(random)
        speech = synthesiser.speak(sentence, Voice.of(KINDS[index % 4], MOODS[index // 4 % 4], index))
        characters += len(sentence)
        seconds += len(speech.samples) / SAMPLE_RATE
    assert 13.5 < characters / seconds < 16


def test_nothing_to_say_is_refused(synthesiser: Synthesiser) -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        synthesiser.speak("...", Voice.of("child", "neutral", 0))
