"""The configuration of a training run, read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from uniavgen_core.files import needed

LORA_TARGETS = ("blocks.*", "audio_blocks.*", "a2v_blocks.*.[qkvo]", "v2a_blocks.*.[qkvo]")
"""The Linears of both branches and of the interaction."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and how fast."""

    steps: int
    learning_rate: float
    final_learning_rate: float
    """Reached along a half cosine."""
    warmup_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class MaskShares:
    """How often a batch keeps random parts of its clips in place of what its task keeps (random_masks.py)."""

    ranges: float = 0.0
    """Share of batches that make a range of time anew, of picture, sound or both."""
    areas: float = 0.0
    """Share of batches that make an area of the picture anew, for a given sound or with the sound."""

    def __post_init__(self) -> None:
        if min(self.ranges, self.areas) < 0 or self.ranges + self.areas > 1:
            raise ValueError(
                f"masks: ranges {self.ranges:g} and areas {self.areas:g} must be shares, at most 1 together."
            )


@dataclass(frozen=True, kw_only=True)
class Stage(Schedule):
    """A part of the run with its own tasks and learning rate."""

    name: str
    tasks: dict[str, float]
    """Shares of the tasks, which are named in batches.py."""
    data: list[str]
    """Folder of shards, or several, from the configuration's folder."""
    batch_size: int
    """Clips a step and process."""
    face_mask_weight: tuple[float, float] = (0.0, 0.0)
    """λ of the face-mask loss at the first and at the last step, linear between them."""
    given_face_mask: float = 0.0
    """Share of batches whose interaction takes the true face mask in place of the predicted one."""
    masks: MaskShares = MaskShares()
    """Random edits, mixed in among the tasks that have a picture."""
    shares: list[float] = field(default_factory=list)
    """Shares of the batches that are of each folder of `data`; without them, all clips are as frequent."""

    def __post_init__(self) -> None:
        if self.shares and (len(self.shares) != len(self.data) or min(self.shares) <= 0):
            raise ValueError(
                f"stage '{self.name}': shares are {', '.join(f'{share:g}' for share in self.shares)}, data has "
                f"{len(self.data)} folders: give each folder a share above 0."
            )


@dataclass(frozen=True, kw_only=True)
class Config:
    """What all runs have. Paths are taken from the folder of the configuration's file."""

    output: str
    """Folder of checkpoints, logs and samples."""
    seed: int = 0
    """Stands in paths for `{seed}`."""
    log_every: int = 20
    folder: Path = Path()
    """Where the configuration's file lies."""

    def path(self, name: str) -> Path:
        return self.folder / name.replace("{seed}", str(self.seed))


@dataclass(frozen=True, kw_only=True)
class CodecConfig(Config, Schedule):
    """A run for the picture codec.

    Its network learns from latents with noise, as those of a sampled clip are not exact. Pixels that move weigh more:
    they are few, and speech is in them.
    """

    clips: int
    """Clips whose windows of frames it learns from."""
    batch_size: int
    """Windows a step and process."""
    latent_noise: float = 0.1
    motion_weight: float = 4.0
    precision: str = "bf16"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    ema_decay: float = 0.998
    save_every: int = 500


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Two thin matrices beside each of some Linears learn, and nothing else: W + alpha / rank · B · A."""

    rank: int
    alpha: float = 0.0
    """0 is the rank, so that the product counts as it is."""
    targets: list[str] = field(default_factory=lambda: list(LORA_TARGETS))
    """Linears by their names in the model, as patterns: `blocks.*` are those of the video branch, `*.cross_attn.*`
    those that read the caption and the words."""
    base_weights: str = "float32"
    """What the model's own Linears are kept in meanwhile: float32, bf16, fp8 or int8."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """A run for the joint model."""

    stages: list[Stage]
    validation_data: str
    model: str = ""
    """File or folder of weights to go on from: a UniAVGen checkpoint, the weights of a run, or `tiny`, which is the
    small model. Without it they are random."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes of a random model that differ from the small model's; a checkpoint has its own."""
    interaction: str = "asymmetric"
    """As in ablations.py, which has those that the paper compares with its own."""
    face_mask: str = "predicted"
    """As in ablations.py."""
    lora: LoraSettings | None = None
    """A LoRA in place of the weights; without it all weights learn."""
    frozen_captions: bool = False
    """Whether the shards hold features of their captions by a frozen encoder, so that none is trained here."""
    codec: str = ""
    """The picture codec, for samples: `tiny`, its weights, or a diffusers folder of the Wan 2.2 VAE."""
    precision: str = "bf16"
    """bf16, fp16 or no."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    """Of the averaged weights, which samples, validation and the run's result take; 0 averages none."""
    text_dropout: float = 0.1
    interaction_dropout: float = 0.1
    timestep_shift: float = 1.0
    gradient_checkpointing: bool = False
    loader_workers: int = 0
    validate_every: int = 500
    validation_batches: int = 4
    """Of each task."""
    save_every: int = 500
    sample_every: int = 0
    """Steps between samples (a contact sheet and a sound); 0 makes none."""

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage of a step and the step's number in it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise ValueError(f"The run has {self.steps} steps.")


AnyConfig = TypeVar("AnyConfig", bound=Config)


def read_config(path: Path, kind: type[AnyConfig]) -> AnyConfig:
    """Read a configuration of the given kind.

    The entry `base` names a configuration in the same folder, whose entries hold where the file has none of its own.

    Raises:
        ValueError: an unknown or missing entry, or a value of another type; the message names it.
    """
    entries = _entries(path)
    base = str(entries.pop("base", ""))
    if Path(base).name != base:
        raise ValueError(f"{path}: base is '{base}': name a file in the same folder, as paths are taken from there.")
    inherited = _entries(path.parent / base) if base else {}
    return _read(kind, {**inherited, **entries, "folder": path.parent}, str(path))


def with_seed(config: AnyConfig, seed: int) -> AnyConfig:
    """The same run with another seed, in an output folder of its own."""
    return replace(config, seed=seed, output=f"{config.output}_seed{seed}")


def _entries(path: Path) -> dict[str, Any]:
    yaml = needed("yaml", "to read configurations", "training")
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold entries such as 'output: …' and 'stages: …'.")
    return entries


def _read(kind: Any, entries: Any, where: str) -> Any:
    if not isinstance(entries, Mapping):
        raise ValueError(f"{where} is {entries!r}: write its entries below it, one a line.")
    known = {entry.name: entry for entry in fields(kind)}
    unknown = sorted(set(entries) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown entries {', '.join(unknown)}. There are: {', '.join(known)}.")
    required = {name for name, entry in known.items() if entry.default is MISSING and entry.default_factory is MISSING}
    missing = sorted(required - set(entries))
    if missing:
        raise ValueError(f"{where}: write {', '.join(missing)}.")
    types = get_type_hints(kind)
    return kind(**{name: _convert(types[name], value, f"{where}: {name}") for name, value in entries.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, UnionType):  # What may also be left out.
        kind, _ = get_args(kind)
    origin = getattr(kind, "__origin__", kind)
    if origin is list:
        items = value if isinstance(value, list) else [value]
        return [_convert(kind.__args__[0], item, f"{where} {number}") for number, item in enumerate(items, 1)]
    if is_dataclass(origin):
        return _read(origin, value, where)
    try:
        return tuple(map(float, value)) if origin is tuple else origin(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is {value!r}: it must be of the kind {origin.__name__}.") from error
