from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import soundfile
import torch
import torchaudio
from safetensors.torch import load_file, save_file
from small_vocoder import build_small_bigvgan, save_small_bigvgan

from uniavgen_core.audio.mel import MEL_FLOOR, log_mel, peak_scale, to_model_waveform
from uniavgen_core.audio.vocoder import TRANSFORMERS_MODULE, GriffinLim, load_bigvgan

FRAMES = 30


def random_mel(batch: int) -> torch.Tensor:
    return torch.randn(batch, FRAMES, 80, generator=torch.Generator().manual_seed(0)) * 2 - 5


def vocoder_sound(model: torch.nn.Module, mel: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(mel)


def speech_mel(shared_data: Path, name: str) -> torch.Tensor:
    samples, rate = soundfile.read(shared_data / "speech" / name, dtype="float32", always_2d=True)
    return log_mel(peak_scale(to_model_waveform(torch.from_numpy(samples.T)[None], rate)))


@pytest.mark.parametrize("name", ["driving.wav", "reference_male.wav"])
def test_griffin_lim_gives_real_speech_back(shared_data: Path, name: str) -> None:
    mel = speech_mel(shared_data, name)
    waveform = GriffinLim()(mel)
    assert waveform.shape == (1, mel.shape[1] * 240)
    assert waveform.abs().max() <= 1
    again = log_mel(waveform)
    assert (again - mel).abs().mean() < 0.12
    # Half a hop off and the distance would grow: the sound is where it was.
    assert (log_mel(waveform.roll(120)) - mel).abs().mean() > 1.5 * (again - mel).abs().mean()


def test_griffin_lim_is_deterministic_and_its_batch_independent() -> None:
    mel = random_mel(2)
    state = torch.random.get_rng_state()
    waveform = GriffinLim()(mel)
    assert torch.equal(waveform, GriffinLim()(mel))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(waveform[1:], GriffinLim()(mel[1:]))
    assert waveform.std() > 0.01


def test_griffin_lim_of_silence_is_silent_and_of_one_frame_works() -> None:
    silence = torch.full((1, FRAMES, 80), MEL_FLOOR).log()
    assert GriffinLim()(silence).abs().max() < 1e-3
    assert GriffinLim()(random_mel(1)[:, :1]).shape == (1, 240)


def test_griffin_lim_works_with_half_precision_buffers() -> None:
    assert GriffinLim().to(torch.bfloat16)(random_mel(1).bfloat16()).dtype == torch.float32


def test_inverse_filters_are_those_of_torchaudio() -> None:
    mel = random_mel(1).exp()
    theirs = torchaudio.transforms.InverseMelScale(
        513, 80, 24_000, 0, 8_000, norm="slaney", mel_scale="slaney", driver="gelsd"
    )(mel.transpose(1, 2))
    ours = (mel @ GriffinLim().inverse_filters).clamp_min(0).transpose(1, 2)
    assert (ours - theirs).norm() / theirs.norm() < 1e-5


@pytest.mark.parametrize(
    ("prefix", "shards"), [("", 1), ("code2wav_bigvgan_model.", 1), ("token2wav.code2wav_bigvgan_model.", 3)]
)
def test_bigvgan_from_a_folder(tmp_path: Path, prefix: str, shards: int) -> None:
    original = save_small_bigvgan(tmp_path / "vocoder", prefix, shards)
    vocoder = load_bigvgan(tmp_path / "vocoder")
    mel = random_mel(2)
    waveform = vocoder_sound(vocoder, mel)
    assert waveform.shape == (2, FRAMES * 240)
    assert torch.equal(waveform[1], vocoder_sound(original, mel[1:].transpose(1, 2)))
    assert torch.equal(waveform[1:], vocoder_sound(vocoder, mel[1:]))
    assert waveform.std() > 0


def test_bigvgan_from_one_file_and_in_half_precision(tmp_path: Path) -> None:
    save_small_bigvgan(tmp_path / "vocoder")
    vocoder = load_bigvgan(tmp_path / "vocoder" / "model.safetensors")
    exact = vocoder_sound(vocoder, random_mel(1))
    half = vocoder_sound(vocoder.to(torch.bfloat16), random_mel(1))
    assert half.dtype == torch.float32
    assert (half - exact).norm() / exact.norm() < 0.2


def test_bigvgan_sizes_from_the_config_of_the_whole_model(tmp_path: Path) -> None:
    folder = tmp_path / "vocoder"
    sizes = save_small_bigvgan(folder).config.to_dict()
    whole = {"model_type": "qwen2_5_omni", "token2wav_config": {"dit_config": {}, "bigvgan_config": sizes}}
    (folder / "config.json").write_text(json.dumps(whole), encoding="utf-8")
    assert vocoder_sound(load_bigvgan(folder), random_mel(1)).shape == (1, FRAMES * 240)


def test_bigvgan_without_config_takes_the_default_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    small = build_small_bigvgan()
    seen = []

    def default_config(**sizes: object) -> object:
        seen.append(sizes)
        return small.config

    save_small_bigvgan(tmp_path / "vocoder", config=False)
    monkeypatch.setattr(transformers.Qwen2_5OmniToken2WavBigVGANModel, "config_class", default_config)
    assert vocoder_sound(load_bigvgan(tmp_path / "vocoder"), random_mel(1)).shape == (1, FRAMES * 240)
    assert seen == [{}]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file or folder .*nowhere"):
        load_bigvgan(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no files: choose the folder"):
        load_bigvgan(tmp_path)
    save_small_bigvgan(tmp_path / "vocoder", shards=2)
    (tmp_path / "vocoder" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002.safetensors of 2 shards is missing"):
        load_bigvgan(tmp_path / "vocoder")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save_small_bigvgan(tmp_path / "vocoder")
    file = tmp_path / "vocoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="model.safetensors is cut off or damaged"):
        load_bigvgan(tmp_path / "vocoder")


def test_weights_that_do_not_fit_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "vocoder"
    save_small_bigvgan(folder)
    file = folder / "model.safetensors"
    weights = load_file(file)

    save_file({"blocks.0.weight": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match=r"not a BigVGAN vocoder: it has no conv_pre.weight, but blocks.0.weight"):
        load_bigvgan(folder)
    save_file({name: tensor for name, tensor in weights.items() if name != "conv_post.weight"}, file)
    with pytest.raises(ValueError, match="lacks conv_post.weight"):
        load_bigvgan(folder)
    save_file(weights | {"conv_pre.bias": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match=r"conv_pre.bias \(3,\) in place of \(64,\)"):
        load_bigvgan(folder)
    save_file(weights | {"extra": torch.zeros(3)}, file)
    with caplog.at_level(logging.WARNING):
        load_bigvgan(folder)
    assert "unknown weights, which are ignored: extra" in caplog.text


def test_a_vocoder_for_other_mel_is_refused(tmp_path: Path) -> None:
    save_small_bigvgan(tmp_path / "vocoder")
    config = tmp_path / "vocoder" / "config.json"
    config.write_text(json.dumps({"mel_dim": 100, "upsample_rates": [4, 4, 2, 2, 2, 2]}), encoding="utf-8")
    with pytest.raises(ValueError, match="made for 100 mel bands and 256 samples a frame"):
        load_bigvgan(tmp_path / "vocoder")


def test_transformers_without_the_class_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    save_small_bigvgan(tmp_path / "vocoder")
    monkeypatch.setitem(sys.modules, TRANSFORMERS_MODULE, None)
    with pytest.raises(
        ImportError, match=r"transformers is needed in version 4.52 or newer .*pip install -U transformers"
    ):
        load_bigvgan(tmp_path / "vocoder")
