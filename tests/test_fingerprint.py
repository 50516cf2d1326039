"""Digests of what a long clip is made with: never equal for different things, equal for the same ones."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from uniavgen_core.speech.reader import SpeechReader

SPEC = importlib.util.spec_from_file_location(
    "fingerprint", Path(__file__).absolute().parent.parent / "nodes" / "fingerprint.py"
)
assert SPEC is not None and SPEC.loader is not None
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
fingerprint: Callable[..., str] = MODULE.fingerprint


class Mood(str, Enum):
    CALM, ANGRY = "calm", "angry"


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Word(str):
    emphasis = 0


class Frames(list):
    rate = 16


@dataclass(frozen=True)
class Scales:
    video: float
    audio: float


class Doubler(nn.Module):
    def __init__(self, factor: float = 2.0, apply: Any = torch.relu) -> None:
        super().__init__()
        self.factor, self.apply_first = factor, apply


def stressed(emphasis: int) -> Word:
    word = Word("no")
    word.emphasis = emphasis
    return word


def at_rate(rate: int) -> Frames:
    frames = Frames([1])
    frames.rate = rate
    return frames


def scaled(factor: float, offset: float = 0.0) -> Callable[[float], float]:
    return lambda x: x * factor + offset


def keyword(scale: float) -> Callable[..., float]:
    def apply(x: float, *, scale: float = scale) -> float:
        return x * scale

    return apply


def with_attribute(value: int) -> Callable[[], None]:
    def function() -> None: ...

    function.value = value  # type: ignore[attr-defined]
    return function


def made_class(factor: int) -> Any:
    class Made:
        def apply(self, x: int) -> int:
            return x * factor

    return Made()


def layer(seed: int, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, width), nn.Dropout(0.1))


def with_buffer(value: float) -> nn.Module:
    module = nn.Module()
    module.register_buffer("table", torch.full((3,), value), persistent=False)
    return module


def ring(value: int) -> list[Any]:
    loop: list[Any] = [value]
    loop.append(loop)
    return loop


PATCHES, OTHER_PATCHES = uuid.uuid4(), uuid.uuid4()


def patcher(**changes: Any) -> Any:
    fields = {name: {} for name in ("model_options", "object_patches", "wrappers", "callbacks", "attachments")}
    return SimpleNamespace(**{"patches_uuid": PATCHES, **fields, **changes})


def clip(**changes: Any) -> Any:
    fields = {"patcher": patcher(), "tokenizer": object(), "cond_stage_model": nn.Linear(2, 2), "layer_idx": None}
    return SimpleNamespace(**{**fields, "tokenizer_options": {}, **changes})


def wrap_one(x: Any) -> Any:
    return x


def wrap_two(x: Any) -> Any:
    return x


DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "nested lists": (lambda: [[1], 2], lambda: [[1, 2]]),
    "list and tuple": (lambda: [1, 2], lambda: (1, 2)),
    "empty and missing": (lambda: [[], 1], lambda: [1]),
    "dict and list": (lambda: {"a": 1}, lambda: ["a", 1]),
    "key types": (lambda: {1: "a"}, lambda: {"1": "a"}),
    "names that pass elsewhere": (lambda: {"uuid": 1, "shapes": 1}, lambda: {"uuid": 2, "shapes": 1}),
    "conds in a dict": (lambda: {"conds": 1}, lambda: {"conds": 2}),
    "order of wrappers": (lambda: {"a": wrap_one, "b": wrap_two}, lambda: {"b": wrap_two, "a": wrap_one}),
    "default factory": (lambda: defaultdict(list), lambda: defaultdict(int)),
    "ordered dict": (lambda: OrderedDict(a=1), lambda: {"a": 1}),
    "sets": (lambda: {"a", "b"}, lambda: {"a", "c"}),
    "number and text": (lambda: 1, lambda: "1"),
    "whole and floating": (lambda: 1, lambda: 1.0),
    "truth and number": (lambda: True, lambda: 1),
    "zeros": (lambda: 0.0, lambda: -0.0),
    "bytes and text": (lambda: b"a", lambda: "a"),
    "text with an end mark": (lambda: ["a\0", "b"], lambda: ["a", "\0b"]),
    "enumerations": (lambda: Mood.CALM, lambda: Mood.ANGRY),
    "enumeration and text": (lambda: Mood.CALM, lambda: "calm"),
    "text with attributes": (lambda: stressed(1), lambda: stressed(2)),
    "list with attributes": (lambda: at_rate(16), lambda: at_rate(25)),
    "slices": (lambda: slice(1), lambda: slice(2)),
    "tensor values": (lambda: torch.zeros(2), lambda: torch.tensor([0.0, 1.0])),
    "tensor shapes": (lambda: torch.zeros(2, 3), lambda: torch.zeros(3, 2)),
    "tensor types": (lambda: torch.zeros(2), lambda: torch.zeros(2, dtype=torch.int32)),
    "arrays": (lambda: numpy.zeros(3000), lambda: numpy.eye(3000)[1500]),
    "array shapes": (lambda: numpy.zeros((2, 3)), lambda: numpy.zeros((3, 2))),
    "array types": (lambda: numpy.zeros(2, "<f4"), lambda: numpy.zeros(2, ">f4")),
    "arrays of objects": (lambda: numpy.array([{}, 1]), lambda: numpy.array([{}, 2])),
    "numbers of numpy": (lambda: numpy.float32(1), lambda: numpy.float64(1)),
    "classes": (lambda: Slotted, lambda: Scales),
    "slots": (lambda: Slotted(1), lambda: Slotted(2)),
    "data classes": (lambda: Scales(1, 2), lambda: Scales(2, 1)),
    "local classes": (lambda: made_class(1), lambda: made_class(2)),
    "closures": (lambda: scaled(2), lambda: scaled(3)),
    "code": (lambda: lambda x: x + 1, lambda: lambda x: x - 1),
    "constants": (lambda: lambda x: x + 1, lambda: lambda x: x + 2),
    "names in code": (lambda: lambda x: x.sin(), lambda: lambda x: x.cos()),
    "code in code": (lambda: lambda x: [lambda: x + 1], lambda: lambda x: [lambda: x + 2]),
    "keyword defaults": (lambda: keyword(1), lambda: keyword(2)),
    "function attributes": (lambda: with_attribute(1), lambda: with_attribute(2)),
    "partial arguments": (lambda: partial(scaled, 1), lambda: partial(scaled, 2)),
    "partial keywords": (lambda: partial(scaled, factor=1), lambda: partial(scaled, offset=1)),
    "partial functions": (lambda: partial(wrap_one), lambda: partial(wrap_two)),
    "methods": (lambda: Scales(1, 2).__eq__, lambda: Scales(1, 3).__eq__),
    "builtin functions": (lambda: torch.sin, lambda: torch.cos),
    "module weights": (lambda: layer(1), lambda: layer(2)),
    "module attributes": (lambda: Doubler(2), lambda: Doubler(3)),
    "module functions": (lambda: Doubler(apply=torch.relu), lambda: Doubler(apply=torch.tanh)),
    "module buffers": (lambda: with_buffer(1), lambda: with_buffer(2)),
    "module mode": (lambda: layer(1).eval(), lambda: layer(1).train()),
    "rings": (lambda: ring(1), lambda: ring(2)),
    "patches": (lambda: patcher(), lambda: patcher(patches_uuid=OTHER_PATCHES)),
    "wrappers": (lambda: patcher(wrappers={"a": [wrap_one]}), lambda: patcher(wrappers={"a": [wrap_two]})),
    "callbacks": (lambda: patcher(callbacks={"a": [wrap_one]}), lambda: patcher(callbacks={"a": []})),
    "attachments": (lambda: patcher(attachments={"a": 1}), lambda: patcher(attachments={"a": 2})),
    "injections": (lambda: patcher(injections={"a": [scaled(1)]}), lambda: patcher(injections={"a": [scaled(2)]})),
    "additional models": (lambda: patcher(additional_models={"a": [patcher()]}), lambda: patcher()),
    "hook patches": (lambda: patcher(hook_patches={1: {"a": 1}}), lambda: patcher(hook_patches={1: {"a": 2}})),
    "caption encoders' layers": (lambda: clip(layer_idx=-1), lambda: clip(layer_idx=-2)),
    "tokenizers' options": (lambda: clip(tokenizer_options={"a": 1}), lambda: clip(tokenizer_options={"a": 2})),
}
UNKNOWN: dict[str, Callable[[], Any]] = {
    "a bare object": object,
    "an iterator": lambda: iter([1, 2]),
    "a generator of numbers": torch.Generator,
    "a module too big to read": lambda: nn.Linear(4000, 4000, device="meta"),
    "a tensor without values": lambda: torch.zeros(2, device="meta"),
    "a sparse tensor": lambda: torch.zeros(2, 2).to_sparse(),
    "a masked array": lambda: numpy.ma.masked_array([1, 2], [True, False]),
    "a function of no module": lambda: eval_free_function(),
}


def eval_free_function() -> Callable[..., Any]:
    """A function whose variables are not those of the module that it names."""
    return type(wrap_one)(wrap_one.__code__, {"__name__": "nowhere"})


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_things_differ_and_the_same_ones_do_not(name: str) -> None:
    first, second = DIFFERENT[name]
    assert fingerprint(first()) == fingerprint(first())
    assert fingerprint(second()) == fingerprint(second())
    assert fingerprint(first()) != fingerprint(second())


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_told_is_never_equal(name: str) -> None:
    value = UNKNOWN[name]()
    assert fingerprint(value) != fingerprint(value)


def test_ids_that_come_again_tell_nothing() -> None:
    digests = {fingerprint(layer(seed)) for seed in range(20)}
    assert len(digests) == 20


def test_an_empty_closure_cell() -> None:
    def outer() -> Callable[[], int]:
        function = lambda: later  # noqa: E731
        if len(sys.argv) < 0:
            later = 1
        return function

    assert fingerprint(outer()) == fingerprint(outer())


def test_a_chain_too_deep_to_read_is_never_equal() -> None:
    chain: list[Any] = []
    for _ in range(100_000):
        chain = [chain]
    assert fingerprint(chain) != fingerprint(chain)


def test_what_is_shared_is_read_once() -> None:
    """Each level holds the one below twice: read anew each time, that would be 2^60 values, and never end."""
    value: list[Any] = [torch.zeros(3)]
    for _ in range(60):
        value = [value, value]
    assert fingerprint(value) == fingerprint(value)


def test_a_caption_encoder_is_not_told_by_its_tokenizer() -> None:
    assert fingerprint(clip()) == fingerprint(clip())


def test_a_reader_of_speech_is_told_by_what_it_reads_not_by_what_it_has_loaded() -> None:
    reader = SpeechReader()
    before = fingerprint(reader)
    reader.symbols("你好", "zh")
    assert fingerprint(reader) == before == fingerprint(SpeechReader())
    assert fingerprint(SpeechReader(read_numbers=False)) != before
