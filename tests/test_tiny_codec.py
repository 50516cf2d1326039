"""The small model's parts: picture codec, caption encoder, and the bundle's weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.tiny.bundle import CAPTION_WIDTH, TinyBundle, build_tiny, load_tiny
from uniavgen_lab.training.bundle_file import MAX_PARAMETERS


@pytest.fixture(scope="module")
def bundle() -> TinyBundle:
    return build_tiny()


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def clip(frames: int, height: int = 32, width: int = 48, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(frames)) * 2 - 1


def assert_close(seen: Tensor, wanted: Tensor) -> None:
    assert seen.shape == wanted.shape
    # Values near 1 after ten layers whose sums have a thousand terms: float32 rounds them to about 1e-5.
    assert torch.allclose(seen, wanted, atol=1e-4), float((seen - wanted).abs().max())


@pytest.mark.parametrize(("frames", "latent"), [(1, 1), (5, 2), (17, 5)])
def test_codec_has_the_strides_of_the_large_one(bundle: TinyBundle, frames: int, latent: int) -> None:
    encoded = bundle.codec.encode(clip(frames, batch=2))
    assert encoded.shape == (2, 48, latent, 2, 3)
    assert 0.2 < float(encoded.std()) < 2, "near unit scale"
    decoded = bundle.codec.decode(encoded)
    assert decoded.shape == (2, 3, frames, 32, 48)
    assert decoded.isfinite().all() and 0.1 < float(decoded.std()) < 2


def test_a_single_frame_is_the_start_of_its_clip(bundle: TinyBundle) -> None:
    frames = clip(13)
    encoded = bundle.codec.encode(frames)
    assert_close(bundle.codec.encode(frames[:, :, :1]), encoded[:, :, :1])
    assert_close(bundle.codec.encode(frames[:, :, :9]), encoded[:, :, :3])


def test_a_latent_frame_sees_its_own_four_frames_and_earlier_ones(bundle: TinyBundle) -> None:
    frames = clip(13)
    encoded = bundle.codec.encode(frames)
    for changed_frame, first_latent in ((1, 1), (4, 1), (5, 2), (12, 3)):
        other = frames.clone()
        other[:, :, changed_frame] *= -1
        difference = (bundle.codec.encode(other) - encoded).abs().amax(dim=(0, 1, 3, 4))
        assert difference[:first_latent].max() < 1e-4
        assert difference[first_latent] > 1e-3


def test_decoding_is_causal(bundle: TinyBundle) -> None:
    latent = torch.randn(1, 48, 4, 2, 3, generator=torch.Generator().manual_seed(1))
    decoded = bundle.codec.decode(latent)
    assert_close(bundle.codec.decode(latent[:, :, :1]), decoded[:, :, :1])
    assert_close(bundle.codec.decode(latent[:, :, :3]), decoded[:, :, :9])
    latent[:, :, 2] *= -1
    changed = (bundle.codec.decode(latent) - decoded).abs().amax(dim=(0, 1, 3, 4)) > 1e-3
    assert changed.tolist()[:6] == [False] * 5 + [True]


def test_a_batch_is_encoded_clip_by_clip(bundle: TinyBundle) -> None:
    frames = clip(5, batch=2)
    both = bundle.codec.encode(frames)
    assert_close(both[1:], bundle.codec.encode(frames[1:]))
    assert_close(bundle.codec.decode(both)[:1], bundle.codec.decode(both[:1]))


def test_codec_names_clips_that_do_not_fit(bundle: TinyBundle) -> None:
    with pytest.raises(ValueError, match="has 8 frames.*Cut it to 5"):
        bundle.codec.encode(clip(8))
    with pytest.raises(ValueError, match="multiples of 16 pixels; this clip is 48 × 40"):
        bundle.codec.encode(clip(1, height=40))


def test_codec_can_learn() -> None:
    frames = torch.nn.functional.interpolate(clip(5, 4, 4), (5, 16, 16), mode="trilinear")
    codec = build_tiny().codec
    optimiser = torch.optim.Adam(codec.parameters(), lr=2e-3)
    losses = []
    with torch.enable_grad():
        for _ in range(10):
            loss = (codec.decode(codec.encode(frames)) - frames).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_captions_are_read_byte_by_byte(bundle: TinyBundle) -> None:
    tokenize = bundle.caption_encoder.tokenize
    assert tokenize("Aé") == [65, 0xC3, 0xA9]
    assert len(tokenize("")) == 1 and tokenize("") != tokenize("\0")
    assert len(tokenize("女" * 400)) == CAPTION_ROWS


def test_caption_rows_tell_captions_apart(bundle: TinyBundle) -> None:
    encoder = bundle.caption_encoder

    def encode(*captions: str) -> Tensor:
        return encoder(torch.tensor([encoder.tokenize(caption) for caption in captions]))

    rows = encode("a red hat", "a tad her")
    assert rows.shape == (2, 9, CAPTION_WIDTH)
    assert 0.5 < float(rows.std()) < 2
    assert float((rows[0] - rows[1]).abs().mean()) > 0.05
    assert_close(rows[1:], encode("a tad her"))
    assert encode("").shape == (1, 1, CAPTION_WIDTH)
    assert encode("x" * 512).shape == (1, 512, CAPTION_WIDTH)


def test_bundle_fits_its_size(bundle: TinyBundle) -> None:
    count = sum(tensor.numel() for tensor in bundle.state_dict().values())
    assert 0.9 * MAX_PARAMETERS < count <= MAX_PARAMETERS
    assert {name.split(".")[0] for name in bundle.state_dict()} == {"model", "codec", "caption"}
    assert bundle.model.sizes.text_width == CAPTION_WIDTH


def test_random_weights_follow_from_the_seed_and_leave_the_generator_alone(bundle: TinyBundle) -> None:
    before = torch.random.get_rng_state()
    again, other = build_tiny().state_dict(), build_tiny(seed=1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in bundle.state_dict().items():
        assert tensor.device.type == "cpu" and tensor.dtype == torch.float32
        assert torch.equal(tensor, again[name]), name
        assert not torch.equal(tensor, other[name]), name


def test_weights_file_is_read_in_any_float(bundle: TinyBundle, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    given = {name: tensor.half() for name, tensor in build_tiny(seed=3).state_dict().items()}
    save_file(given, path)
    assert path.stat().st_size < 16_000_000
    loaded = load_tiny(path)
    assert loaded.trained and not bundle.trained
    assert loaded.model.sizes == bundle.model.sizes
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, given[name].float()), name


def test_without_a_weights_file_the_weights_are_random(bundle: TinyBundle, tmp_path: Path) -> None:
    loaded = load_tiny(tmp_path / "absent.safetensors")
    assert not loaded.trained
    name = "codec.refiner.start.weight"
    assert torch.equal(loaded.state_dict()[name], bundle.state_dict()[name])
