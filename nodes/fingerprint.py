"""A text that tells whether two runs would make the same thing of the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

PASSING = {"uuid", "conds", "inner_model", "loaded_models", "shapes"}
"""What changes from run to run and means nothing."""


def fingerprint(*values: Any) -> str:
    """A digest of settings, tensors, functions and objects by their content, and of models by their patches' identity.

    Where content cannot be told, equal things may get different digests, but different things never get an equal one.
    """
    digest = hashlib.sha256()
    for part in _parts(values, set()):
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(value: Any, open_values: set[int]) -> Iterator[str | bytes]:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value)
    elif isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}"
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}"
    elif id(value) in open_values:
        yield "again"
    else:
        yield type(value).__qualname__
        yield from _inner_parts(value, open_values | {id(value)})


def _inner_parts(value: Any, open_values: set[int]) -> Iterator[str | bytes]:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            if key not in PASSING:
                yield str(key)
                yield from _parts(value[key], open_values)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _parts(item, open_values)
    elif isinstance(value, FunctionType):
        yield f"{value.__module__}.{value.__qualname__}"
        yield from _parts([value.__defaults__, [cell.cell_contents for cell in value.__closure__ or ()]], open_values)
    elif isinstance(value, MethodType):
        yield value.__func__.__qualname__
        yield from _parts(value.__self__, open_values)
    elif hasattr(value, "patches_uuid"):
        yield str(value.patches_uuid)
        yield from _parts([value.model_options, value.object_patches], open_values)
    elif hasattr(getattr(value, "patcher", None), "patches_uuid"):
        yield from _parts([value.patcher, getattr(value, "layer_idx", None)], open_values)
    elif isinstance(value, nn.Module):
        yield from _parts([id(value), value.extra_repr()], open_values)
    else:
        yield from _parts(vars(value) if hasattr(value, "__dict__") else repr(value), open_values)
