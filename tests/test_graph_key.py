"""Keys of what a node's inputs are made of: another one for another graph, the same one for the same."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location(
    "graph_key", Path(__file__).absolute().parent.parent / "nodes" / "graph_key.py"
)
assert SPEC is not None and SPEC.loader is not None
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)

Prompt = dict[str, dict[str, Any]]
PROMPT: Prompt = {
    "1": {"class_type": "Loader", "inputs": {"file": "model.safetensors"}, "_meta": {"title": "Model"}},
    "2": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["1", 0], "lora_name": "a", "strength_model": 1.0}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "A woman."}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "blurred"}},
    "5": {
        "class_type": "UniAVGenConditioning",
        "inputs": {"positive": ["3", 0], "negative": ["4", 0], "speech": "Hello.", "language": "auto"},
    },
    "6": {"class_type": "UniAVGenGuider", "inputs": {"model": ["2", 0], "positive": ["5", 0], "negative": ["5", 1]}},
    "7": {"class_type": "LoadImage", "inputs": {"image": "woman.png"}, "is_changed": ["3f"]},
    "8": {"class_type": "UniAVGenLatent", "inputs": {"task": "joint", "portrait": ["7", 0]}},
    "9": {"class_type": "UniAVGenScript", "inputs": {"clip": ["1", 1], "script": "A woman. | Hello."}},
    "10": {"class_type": "LoadAudio", "inputs": {"audio": "voice.wav"}},
    "11": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
    "12": {
        "class_type": "UniAVGenLongForm",
        "inputs": {
            "guider": ["6", 0], "latent": ["8", 0], "noise": ["11", 0], "script": ["9", 0], "recording": ["10", 0],
            "seconds": 0.0, "past_frames": 3, "keep": True,
        },
    },
}  # fmt: skip
FILES = {"model.safetensors": [(4, 100)], "voice.wav": [(9, 100)]}


class Graph:
    """As ComfyUI's DynamicPrompt."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt

    def has_node(self, node_id: str) -> bool:
        return node_id in self.prompt

    def get_node(self, node_id: str) -> dict[str, Any]:
        return self.prompt[node_id]


def key(prompt: Prompt = PROMPT, node_id: str = "12", files: dict[str, Any] = FILES) -> str:
    hidden = SimpleNamespace(dynprompt=Graph(prompt), unique_id=node_id)
    found: str = MODULE.graph_key(hidden, lambda text: files.get(text, []))
    return found


def changed(node_id: str, **inputs: Any) -> Prompt:
    prompt = copy.deepcopy(PROMPT)
    prompt[node_id]["inputs"] |= inputs
    return prompt


def renumbered(number: Callable[[str], str]) -> Prompt:
    """The prompt with other numbers, in another order, without titles and with a node that leads nowhere."""
    prompt: Prompt = {"99": {"class_type": "LoadImage", "inputs": {"image": "nobody.png"}}}
    for node_id, node in reversed(PROMPT.items()):
        inputs = {
            name: [number(value[0]), value[1]] if isinstance(value, list) else value
            for name, value in reversed(node["inputs"].items())
        }
        prompt[number(node_id)] = {key: value for key, value in node.items() if key != "_meta"} | {"inputs": inputs}
    return prompt


def test_numbers_titles_and_other_nodes_do_not_count() -> None:
    assert key() == key(copy.deepcopy(PROMPT))
    assert key() == key(renumbered(lambda node_id: f"sub:{40 - int(node_id)}"), "sub:28")


@pytest.mark.parametrize(
    ("node_id", "inputs"),
    [
        ("9", {"script": "A man. | Goodbye."}),
        ("9", {"script": ["3", 0]}),
        ("3", {"text": "A man."}),
        ("5", {"speech": "Goodbye."}),
        ("10", {"audio": "other.wav"}),
        ("12", {"recording": ["7", 0]}),
        ("12", {"keep": False}),
        ("12", {"speakers": ["7", 1]}),
        ("12", {"voices": ["10", 0]}),
        ("12", {"scenes": ["7", 0]}),
    ],
)
def test_what_each_segment_has_of_its_own_does_not_count(node_id: str, inputs: dict[str, Any]) -> None:
    assert key(changed(node_id, **inputs)) == key()


@pytest.mark.parametrize(
    ("node_id", "inputs"),
    [
        ("1", {"file": "other.safetensors"}),
        ("2", {"lora_name": "b"}),
        ("2", {"strength_model": 0.5}),
        ("4", {"text": "sharp"}),
        ("5", {"language": "English"}),
        ("5", {"reference_audio": ["10", 0]}),
        ("6", {"model": ["1", 0]}),
        ("6", {"positive": ["5", 1]}),
        ("7", {"image": "man.png"}),
        ("9", {"clip": ["1", 2]}),
        ("11", {"noise_seed": 8}),
        ("12", {"seconds": 8.0}),
    ],
)
def test_all_else_that_leads_into_the_node_counts(node_id: str, inputs: dict[str, Any]) -> None:
    assert key(changed(node_id, **inputs)) != key()


def test_a_caption_counts_where_another_node_makes_it() -> None:
    prompts = []
    for strength in (1.0, 0.5):
        prompt = changed("5", positive=["13", 0])
        prompt["13"] = {"class_type": "ConditioningSetStrength", "inputs": {"from": ["3", 0], "strength": strength}}
        prompts.append(prompt)
    assert key(prompts[0]) != key(prompts[1])


def test_a_caption_that_is_the_negative_one_too_counts_there() -> None:
    both = changed("5", negative=["3", 0])
    other = copy.deepcopy(both)
    other["3"]["inputs"]["text"] = "A man."
    assert key(both) != key(other)


def test_a_file_counts_by_its_content_where_the_node_says_it_and_by_size_and_time_elsewhere() -> None:
    assert key(files=FILES | {"model.safetensors": [(5, 100)]}) != key()
    assert key(files=FILES | {"woman.png": [(5, 100)]}) == key()
    prompt = copy.deepcopy(PROMPT)
    prompt["7"]["is_changed"] = ["40"]
    assert key(prompt) != key()


@pytest.mark.parametrize("value", [[float("nan")], float("nan"), [object()]])
def test_what_always_changes_is_never_equal(value: Any) -> None:
    prompt = copy.deepcopy(PROMPT)
    prompt["7"]["is_changed"] = value
    assert key(prompt) != key(prompt)


def test_a_node_that_leads_in_many_times_is_read_once() -> None:
    """Each level uses the one below twice: read anew each time, that would be 2^60 nodes."""
    prompt: Prompt = {"0": {"class_type": "Loader", "inputs": {}}}
    for level in range(1, 61):
        below = [str(level - 1), 0]
        prompt[str(level)] = {"class_type": "Merge", "inputs": {"first": below, "second": below}}
    assert key(prompt, "60") == key(copy.deepcopy(prompt), "60")


def test_without_a_graph_nothing_is_equal() -> None:
    for hidden in (None, SimpleNamespace(dynprompt=None, unique_id=None)):
        assert MODULE.graph_key(hidden, lambda text: []) != MODULE.graph_key(hidden, lambda text: [])
