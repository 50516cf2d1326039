"""A text that tells whether two runs would make the same thing of the same order."""

from __future__ import annotations

import hashlib
import sys
import types
import uuid
from collections.abc import Callable, Sequence
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PosixPath, WindowsPath
from typing import Any

import numpy
import torch
from torch import Tensor, nn

MOST_MODULE_VALUES = 10_000_000
"""A module with more parameters and buffers is not read."""
SIMPLE = {
    type(None), bool, int, float, complex, str, range, type(...), type(NotImplemented), uuid.UUID, Fraction, PosixPath,
    WindowsPath, torch.dtype, torch.device, torch.layout, torch.memory_format,
}  # fmt: skip
"""What is told by its repr."""
SUBCLASSED = (int, float, complex, str, bytes)
CODE = (
    "co_code", "co_consts", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount",
    "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_exceptiontable",
)  # fmt: skip
PATCHER = (
    "patches_uuid", "model_options", "object_patches", "weight_wrapper_patches", "wrappers", "callbacks", "injections",
    "attachments", "additional_models", "hook_patches", "forced_hooks", "force_cast_weights",
)  # fmt: skip
"""A model patcher's weights are told by `patches_uuid`, which a clone keeps until it is patched; the rest is not."""
CLASS_STATE = {"__dict__", "__weakref__", "__doc__", "_abc_impl"}
HEAP_TYPE = 1 << 9
"""Flag of a type that is made at run time, as those of class statements are."""


def fingerprint(*values: Any) -> str:
    """A digest of settings, tensors, functions and objects by their content, and of models by their patches' identity.

    Where content cannot be told, equal things get different digests, but different things never get an equal one.
    """
    digest = _Digest()
    try:
        digest.add(values)
    except RecursionError:
        return uuid.uuid4().hex
    return digest.hash.hexdigest()


class _Digest:
    """Hashes values as trees of their parts. Everything has its length in front, so that no two trees run alike."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        # The values are held, because the id of one that is gone may come again.
        self.seen: dict[int, tuple[int, Any]] = {}

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind in SIMPLE:
            self._write(f"{kind.__qualname__} {value!r}".encode())
        elif kind is bytes:
            self._write(b"bytes")
            self._write(value)
        elif id(value) in self.seen:
            self._write(f"seen {self.seen[id(value)][0]}".encode())
        else:
            self.seen[id(value)] = len(self.seen), value
            parts = _parts(value) if kind is type else [kind, *_parts(value)]
            self._write(f"{'type' if kind is type else 'object'} {len(parts)}".encode())
            for part in parts:
                self.add(part)

    def _write(self, content: bytes) -> None:
        self.hash.update(len(content).to_bytes(8, "little"))
        self.hash.update(content)


def _parts(value: Any) -> Sequence[Any]:
    """What a value is told by, beside its type."""
    for kind, parts in KNOWN:
        if isinstance(value, kind):
            return parts(value)
    if hasattr(value, "told_by"):
        return value.told_by()
    if hasattr(value, "patches_uuid"):
        return [getattr(value, name, None) for name in PATCHER]
    if hasattr(getattr(value, "patcher", None), "patches_uuid"):
        return _owner_parts(value)
    if isinstance(value, nn.Module) and _size(value) > MOST_MODULE_VALUES:
        return _unknown(value)
    if _of_class_statements(type(value)):
        return _attributes(value) or ([] if hasattr(value, "__dict__") else _unknown(value))
    return _unknown(value)


def _unknown(value: Any) -> list[Any]:
    return [uuid.uuid4()]


def _owner_parts(owner: Any) -> list[Any]:
    """Of a VAE or CLIP: its patcher, and what it is set to. Its modules and its tokenizer are those of the patcher."""
    own = {name: value for name, value in vars(owner).items() if not isinstance(value, nn.Module)}
    own.pop("tokenizer", None)
    return _sorted_items(own)


def _size(module: nn.Module) -> int:
    return sum(tensor.numel() for tensors in (module.parameters(), module.buffers()) for tensor in tensors)


def _of_class_statements(kind: type) -> bool:
    """Whether no class of an object's is written in C, so that all that it holds is in its attributes."""
    return all(
        base.__flags__ & HEAP_TYPE and not isinstance(vars(base).get("__new__"), types.BuiltinFunctionType)
        for base in kind.__mro__[:-1]
    )


def _attributes(value: Any) -> list[Any]:
    """Names and values of an object's attributes, those in slots too."""
    slots = {
        f"{kind.__qualname__}.{name}": member
        for kind in type(value).__mro__
        for name, member in vars(kind).items()
        if isinstance(member, types.MemberDescriptorType)
    }
    filled = {name: member.__get__(value) for name, member in slots.items() if _is_filled(member, value)}
    return _sorted_items(getattr(value, "__dict__", {}) | filled)


def _is_filled(slot: types.MemberDescriptorType, value: Any) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _sorted_items(values: dict[str, Any]) -> list[Any]:
    return [part for item in sorted(values.items(), key=lambda item: str(item[0])) for part in item]


def _subclass_parts(value: Any) -> list[Any]:
    """Of a number or text of a class of its own."""
    return [*(kind.__repr__(value) for kind in SUBCLASSED if isinstance(value, kind)), _attributes(value)]


def _dict_parts(value: dict[Any, Any]) -> list[Any]:
    """In their order, which is that of the calls where they are functions."""
    items = (part for item in value.items() for part in item)
    return [getattr(value, "default_factory", None), _attributes(value), *items]


def _tensor_parts(value: Tensor) -> list[Any]:
    if (
        type(value) not in (Tensor, nn.Parameter)
        or value.layout != torch.strided
        or value.is_meta
        or value.is_quantized
    ):
        return _unknown(value)
    plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return [value.dtype, tuple(value.shape), plain.flatten().view(torch.uint8).numpy().tobytes()]


def _array_parts(value: numpy.ndarray | numpy.generic) -> list[Any]:
    if not isinstance(value, numpy.generic) and type(value) is not numpy.ndarray:
        return _unknown(value)
    return [repr(value.dtype), value.shape, value.tolist() if value.dtype.hasobject else value.tobytes()]


def _function_parts(value: types.FunctionType) -> list[Any]:
    """By its code, and by the name of the module whose variables it reads."""
    name = value.__globals__.get("__name__")
    module = sys.modules.get(str(name))
    if module is None or vars(module) is not value.__globals__:
        return _unknown(value)
    variables = [value.__defaults__, value.__kwdefaults__, value.__closure__]
    return [name, value.__qualname__, value.__code__, *variables, vars(value)]


def _cell_parts(value: types.CellType) -> list[Any]:
    try:
        return [value.cell_contents]
    except ValueError:
        return []


def _type_parts(value: type) -> list[Any]:
    """By its name, where that leads to it; a class that a function made, by its content."""
    name = [value.__module__, value.__qualname__]
    if not value.__flags__ & HEAP_TYPE or _named(*name) is value:
        return name
    hidden = types.GetSetDescriptorType, types.MemberDescriptorType
    content = {
        key: part for key, part in vars(value).items() if key not in CLASS_STATE and not isinstance(part, hidden)
    }
    return [*name, value.__bases__, *_sorted_items(content)]


def _named(module: str, path: str) -> Any:
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found


KNOWN: tuple[tuple[Any, Callable[[Any], Sequence[Any]]], ...] = (
    (type, _type_parts),
    (Tensor, _tensor_parts),
    ((numpy.ndarray, numpy.generic), _array_parts),
    (Enum, lambda value: [value.name, value.value]),
    (SUBCLASSED, _subclass_parts),
    (dict, _dict_parts),
    ((list, tuple), lambda value: [_attributes(value), *value] if hasattr(value, "__dict__") else value),
    ((set, frozenset), lambda value: [_attributes(value), *sorted(value, key=repr)]),
    (types.MappingProxyType, lambda value: [dict(value)]),
    (slice, lambda value: [value.start, value.stop, value.step]),
    (types.FunctionType, _function_parts),
    (types.CodeType, lambda value: [getattr(value, name, None) for name in CODE]),
    (types.CellType, _cell_parts),
    (types.MethodType, lambda value: [value.__func__, value.__self__]),
    (types.BuiltinFunctionType, lambda value: [value.__module__, value.__qualname__, value.__self__]),
    ((types.MethodDescriptorType, types.WrapperDescriptorType), lambda value: [value.__objclass__, value.__name__]),
    (partial, lambda value: [value.func, value.args, value.keywords, _attributes(value)]),
    (property, lambda value: [value.fget, value.fset, value.fdel]),
    ((staticmethod, classmethod), lambda value: [value.__func__]),
    (types.ModuleType, lambda value: [value.__name__]),
)
