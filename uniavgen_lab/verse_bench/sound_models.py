"""Models that hear: what sounds, how well it sounds, and what is said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch.nn import functional

from uniavgen_core.files import needed

from .bench_models import EXTRA, read_weights

CLAP_RATE, PASST_RATE, SPEECH_RATE = 48_000, 32_000, 16_000
"""Samples a second that the models take."""
MEL = {
    "n_mels": 128, "sr": PASST_RATE, "win_length": 800, "hopsize": 320, "n_fft": 1024, "freqm": 48, "timem": 192,
    "htk": False, "fmin": 0.0, "fmax": None, "norm": 1, "fmin_aug_range": 10, "fmax_aug_range": 2000,
}  # fmt: skip
"""Of PaSST's mel spectrogram, as its library builds its basic model."""
PASST = "passt_s_swa_p16_128_ap476"
CLAP_TOKENS = 77
"""Of a text, as CLAP was trained."""
VAD_MILLISECONDS, MERGED_SECONDS, BATCH_SECONDS = 30_000, 15, 60
"""How SenseVoice's pieces of speech are cut and joined."""


class Clap:
    """LAION's CLAP as transformers has it: sounds and texts as vectors that can be compared.

    Args:
        paths: the model's folder as transformers saves it.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        transformers = needed("transformers", "for CLAP", EXTRA)
        self._processor = transformers.ClapProcessor.from_pretrained(paths[0], local_files_only=True)
        self._model = transformers.ClapModel.from_pretrained(paths[0], local_files_only=True).eval().to(device)
        self._device = device

    @torch.inference_mode()
    def hear(self, waveform: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        """The unit vector (width) of a sound (samples) at 48 kHz."""
        # Of a sound longer than 10 seconds, the library takes pieces at random.
        random.seed(0)
        numpy.random.seed(0)
        inputs = self._processor.feature_extractor(waveform, sampling_rate=CLAP_RATE, return_tensors="pt")
        return self._unit(self._model.get_audio_features(**inputs.to(self._device)))

    @torch.inference_mode()
    def read(self, text: str) -> NDArray[numpy.floating]:
        """The unit vector (width) of a text."""
        inputs = self._processor.tokenizer(text, truncation=True, max_length=CLAP_TOKENS, return_tensors="pt")
        return self._unit(self._model.get_text_features(**inputs.to(self._device)))

    def _unit(self, features: Any) -> NDArray[numpy.floating]:
        # Newer versions of the library hand over more than the features.
        vector = getattr(features, "pooler_output", features)[0]
        unit: NDArray[numpy.floating] = functional.normalize(vector, dim=-1).cpu().numpy()
        return unit


class SoundClasses:
    """PaSST, as the library hear21passt builds it: scores of AudioSet's 527 classes."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        purpose = "for what sounds"
        models, mels, wrapper = (
            needed(f"hear21passt.{name}", purpose, EXTRA) for name in ("models.passt", "models.preprocess", "wrapper")
        )
        network = models.get_model(arch=PASST, pretrained=False)
        network.load_state_dict(read_weights(paths[0]))
        model = wrapper.PasstBasicWrapper(mel=mels.AugmentMelSTFT(**MEL), net=network, mode="logits")
        self._model, self._device = model.eval().to(device), device

    @torch.inference_mode()
    def __call__(self, windows: NDArray[numpy.float32]) -> NDArray[numpy.floating]:
        """Scores (n, classes) of windows (n, samples) at 32 kHz."""
        scores = [self._model(torch.from_numpy(window[None]).to(self._device)).cpu() for window in windows]
        return torch.cat(scores).numpy()


class SoundAesthetics:
    """Audiobox-Aesthetics: content enjoyment and usefulness, production complexity and quality, 1 to 10."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        library = needed("audiobox_aesthetics.infer", "for the sound's aesthetics", EXTRA)
        self._predictor = library.initialize_predictor(ckpt=str(paths[0]))
        # The library takes the GPU wherever there is one.
        self._predictor.device = device
        self._predictor.model.to(device)

    def __call__(self, waveform: NDArray[numpy.float32], rate: int) -> dict[str, float]:
        """CE, CU, PC and PQ of a sound (samples)."""
        (scores,) = self._predictor.forward([{"path": torch.from_numpy(waveform[None]), "sample_rate": rate}])
        return {name: float(scores[name]) for name in ("CE", "CU", "PC", "PQ")}


class SenseVoice:
    """SenseVoiceSmall, with the library funasr, numbers as they are written.

    Args:
        paths: the folders of the recogniser and of the detector of speech.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        library = needed("funasr", "to hear the words", EXTRA)
        self._written = needed("funasr.utils.postprocess_utils", "to hear the words", EXTRA)
        recogniser, detector = map(str, paths)
        self._model = library.AutoModel(
            model=recogniser, vad_model=detector, vad_kwargs={"max_single_segment_time": VAD_MILLISECONDS},
            device=str(device), disable_update=True, disable_pbar=True,
        )  # fmt: skip

    def __call__(self, waveform: NDArray[numpy.float32]) -> str:
        """What is said in a sound (samples) at 16 kHz."""
        (heard,) = self._model.generate(
            input=waveform, cache={}, language="auto", use_itn=True, batch_size_s=BATCH_SECONDS, merge_vad=True,
            merge_length_s=MERGED_SECONDS,
        )  # fmt: skip
        return str(self._written.rich_transcription_postprocess(heard["text"]))


class Whisper:
    """Whisper as transformers has it; English.

    Args:
        paths: the model's folder as transformers saves it.
    """

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        transformers = needed("transformers", "to hear the words", EXTRA)
        self._processor = transformers.WhisperProcessor.from_pretrained(paths[0], local_files_only=True)
        model = transformers.WhisperForConditionalGeneration.from_pretrained(paths[0], local_files_only=True)
        self._model, self._device = model.eval().to(device), device

    @torch.inference_mode()
    def __call__(self, waveform: NDArray[numpy.float32]) -> str:
        """What is said in a sound (samples) at 16 kHz, of which the first 30 seconds are heard."""
        inputs = self._processor(waveform, sampling_rate=SPEECH_RATE, return_tensors="pt")
        spoken = self._model.generate(inputs.input_features.to(self._device), language="en", task="transcribe")
        (text,) = self._processor.batch_decode(spoken, skip_special_tokens=True)
        return str(text)
