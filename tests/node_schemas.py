"""The nodes' schemas, read by importing the nodes with a stand-in for ComfyUI."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PACK = Path(__file__).absolute().parent.parent
COMFYUI = {
    "comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "latent_preview", "node_helpers",
    "nodes", "server",
}  # fmt: skip
NAME = "pack_of_schemas"


@dataclass
class Socket:
    """An input or an output.

    Attributes:
        type: ComfyUI's name of what goes through, or a kind of widget: "MODEL", "FLOAT", "COMBO", "FACE_MAP".
        name: of an input; None for an output.
        settings: what the node said of it by keyword: `default`, `options`, `tooltip`, `optional`, `display_name`.
    """

    type: str
    name: str | None
    settings: dict[str, Any]


@dataclass
class Option:
    """An option of a dynamic combo and the inputs that it brings."""

    key: str
    inputs: list[Socket]


class Schema(SimpleNamespace):
    """What a node said of itself, by keyword: node_id, display_name, category, inputs, outputs, …"""

    inputs: list[Socket]
    outputs: list[Socket]


def schemas() -> dict[str, Schema]:
    """Each node's schema by its id, in the order in which the pack names its nodes."""
    read = [node.define_schema() for node in nodes().NODES]
    return {schema.node_id: schema for schema in read}


def input_paths(inputs: list[Socket], prefix: str = "") -> Iterator[str]:
    """Names of inputs, those of a dynamic combo's options behind its own: "size", "size.width"."""
    for given in inputs:
        yield f"{prefix}{given.name}"
        for option in given.settings.get("options", []):
            if isinstance(option, Option):
                yield from input_paths(option.inputs, f"{prefix}{given.name}.")


@cache
def nodes() -> ModuleType:
    """The pack's `nodes` package; its ComfyUI holds nothing, so that only what needs none of it works."""
    with _without_comfyui():
        spec = spec_from_file_location(NAME, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
        assert spec and spec.loader
        sys.modules[NAME] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
        return importlib.import_module(f"{NAME}.nodes")


@contextmanager
def _without_comfyui() -> Iterator[None]:
    """Meanwhile ComfyUI's modules are stand-ins, and what has their names, as the tests' own `comfy`, is put aside."""

    def take() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in COMFYUI}

    aside, finder = take(), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        take()
        sys.modules.update(aside)


class _Finder(MetaPathFinder, Loader):
    """Finds a stand-in for each module of ComfyUI."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        known = fullname.partition(".")[0] in COMFYUI
        return spec_from_loader(fullname, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "comfy_api.latest":
            module.__dict__["io"] = _Io()
        if module.__name__ == "folder_paths":
            module.__dict__["models_dir"] = "models"


class _Module(ModuleType):
    """Holds a class of any name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _Anything(type):
    """A class to inherit from, that has an attribute of any name, takes any arguments and holds nothing."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())


class _Io:
    """`comfy_api.latest.io`, as far as the nodes say with it what they take and give."""

    Schema = Schema
    ComfyNode = type("ComfyNode", (), {})
    NodeOutput = type("NodeOutput", (), {})

    def __getattr__(self, name: str) -> Any:
        return self.Custom(name.upper())

    def Custom(self, type: str) -> Any:
        return SimpleNamespace(type=type, Input=partial(_input, type), Output=partial(_output, type), Option=Option)


def _input(type: str, name: str, types: list[Any] | None = None, **settings: Any) -> Socket:
    return Socket(",".join(taken.type for taken in types) if types else type, name, settings)


def _output(type: str, **settings: Any) -> Socket:
    return Socket(type, None, settings)
