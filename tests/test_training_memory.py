"""The memory of a training step, counted on shapes."""

from __future__ import annotations

from small_model import small_sizes

from uniavgen_lab.benchmarks.training_memory import TrainingStep, training_bytes
from uniavgen_lab.training.training_config import LoraSettings


def counted(blocks: int, **changes: object) -> dict[str, int]:
    settings = {"sizes": small_sizes(blocks=blocks, video_ffn_width=1024), "width": 128, "height": 128}
    lora = LoraSettings(rank=4, base_weights=str(changes.pop("base_weights", "bf16")))
    return training_bytes(TrainingStep(**settings, latent_frames=5, lora=lora, **changes))


def test_a_step_with_checkpoints_holds_one_block_whatever_their_number() -> None:
    few, many, without = counted(2), counted(6), counted(6, checkpointing=False)
    assert (many["activations"] - few["activations"]) / 4 < few["activations"] * 0.06
    assert without["activations"] > many["activations"] * 1.5


def test_weights_are_counted_as_they_are_kept() -> None:
    half, quarter = counted(2), counted(2, base_weights="int8")
    assert half["learning"] == quarter["learning"] and half["lora"] == 16 * half["learning"]
    assert 0.5 < quarter["weights"] / half["weights"] < 0.8
