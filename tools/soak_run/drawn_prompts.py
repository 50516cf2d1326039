"""Prompts at random: every task of the small model's workflows, in sizes and lengths, words and seeds of all kinds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

from comfy.graphs import WORKFLOW_NAMES, Prompt, api_workflow, nodes_of

from uniavgen_core.speech.duration import seconds_for_speech
from uniavgen_lab.world.sentences import MOODS, draw_caption, draw_sentence

NEEDS_A_MODEL = "tiny_chain_interpolation"
"""It asks for a file that nobody has at hand."""
WORKFLOWS = tuple(name for name in WORKFLOW_NAMES if name.startswith("tiny_") and name != NEEDS_A_MODEL)
SIDES = (64, 96, 128)
SECONDS = (1.0, 1.25, 1.5, 2.0)
LONG_SECONDS = (2.0, 2.5)
"""Of a long form's longest segment, which has room for a phrase."""
PAST_SECONDS = 0.75
"""More of a continuation than it keeps."""
MOST_STEPS = 2
MOST_LINES = 2
BAD_SHARE = 0.08
BAD = {
    "words of another language": ("UniAVGenConditioning", {"speech": "Привет, мир."}),
    "a length beyond reason": ("UniAVGenLatent", {"seconds": 500.0}),
    "a line with two signs": ("UniAVGenScript", {"script": "A woman. | one | two"}),
    "a task without its video": ("UniAVGenLatent", {"task": "dubbing", "seconds": 0.0, "video": None}),
}
"""Requests that must be refused: the node that they change, and how."""


@dataclass(frozen=True)
class DrawnPrompt:
    """A prompt in API form, what it was made from, and what is wrong with it, if anything is."""

    number: int
    workflow: str
    prompt: Prompt
    wrong: str = ""


def draw_prompt(number: int, seed: int, workflow: str | None = None, bad: bool | None = None) -> DrawnPrompt:
    """The prompt of this number: the same for the same seed, whoever asks and in whatever order.

    Args:
        workflow: one of WORKFLOWS; None draws one.
        bad: whether something is wrong with it; None draws that.
    """
    random = Random(f"{seed} {number}")
    workflow = workflow or random.choice(WORKFLOWS)
    prompt = api_workflow(workflow)
    shortest = max(change_words(prompt, random), *ends_of_ranges(prompt), 0.0)
    change_sizes(prompt, shortest, random)
    for node in prompt.values():
        for name in ("seed", "noise_seed"):
            if name in node["inputs"]:
                node["inputs"][name] = random.randrange(2**32)
    if random.random() < BAD_SHARE if bad is None else bad:
        fits = [name for name, (kind, _) in BAD.items() if nodes_of(prompt, kind)]
        wrong = random.choice(fits)
        spoil(prompt, *BAD[wrong])
        return DrawnPrompt(number, workflow, prompt, wrong)
    return DrawnPrompt(number, workflow, prompt)


def ends_of_ranges(prompt: Prompt) -> list[float]:
    """Where the ranges end that are made anew, in seconds on the widget's grid: a clip must reach so far."""
    return [math.ceil(4 * node["inputs"]["end"]) / 4 for node in nodes_of(prompt, "UniAVGenRange")]


def change_sizes(prompt: Prompt, shortest: float, random: Random) -> None:
    """Few steps; pictures and lengths of several sizes. Pictures of two people keep theirs, which their masks have.

    Args:
        shortest: seconds that each clip of the prompt must have.
    """
    steps = random.randint(1, MOST_STEPS)
    # A voice that others are to speak with must say its words: noise has no pace.
    speaks_first = any("reference_audio" in node["inputs"] for node in nodes_of(prompt, "UniAVGenConditioning"))
    for kind in ("UniAVGenSampler", "UniAVGenScheduler"):
        for node in nodes_of(prompt, kind)[speaks_first:]:
            node["inputs"]["steps"] = steps
    width, height = random.choice(SIDES), random.choice(SIDES)
    lengths = LONG_SECONDS if nodes_of(prompt, "UniAVGenLongForm") else SECONDS
    for node in nodes_of(prompt, "UniAVGenLatent"):
        inputs = node["inputs"]
        if not nodes_of(prompt, "SolidMask"):
            inputs |= {"size.width": width, "size.height": height}
        if inputs["seconds"]:
            past = PAST_SECONDS if inputs["task"] == "continuation" else 0.0
            inputs["seconds"] = max(random.choice(lengths), shortest) + past
    for node in nodes_of(prompt, "UniAVGenLongForm"):
        node["inputs"]["keep"] = random.random() < 0.7


def change_words(prompt: Prompt, random: Random) -> float:
    """Other words of the small model's, moods and people; the seconds that the longest of its speeches takes."""
    speeches = []
    for node in prompt.values():
        inputs: dict[str, Any] = node["inputs"]
        kind = node["class_type"]
        if kind == "UniAVGenConditioning" and isinstance(inputs["speech"], str) and inputs["speech"]:
            speeches.append(draw_sentence(random))
            inputs["speech"] = speeches[-1]
        elif kind == "PrimitiveStringMultiline":
            speeches.append(draw_sentence(random))
            inputs["value"] = speeches[-1]
        elif kind == "UniAVGenTinyPortrait":
            inputs["person"] = random.randrange(2**30)
        elif kind == "UniAVGenScript":
            speaker = "[speaker 1] " if "[speaker" in inputs["script"] else ""
            caption = draw_caption("woman", random.choice(MOODS), random)
            lines = [f"{caption} | {speaker}{draw_sentence(random)}" for _ in range(random.randint(1, MOST_LINES))]
            inputs["script"] = "\n".join(lines)
    # Rounded up to what the widget takes.
    return max((math.ceil(4 * seconds_for_speech(speech, "en")) / 4 for speech in speeches), default=0.0)


def spoil(prompt: Prompt, kind: str, changes: dict[str, Any]) -> None:
    """Put wrong values into the last node of a kind, and take away inputs that are None."""
    inputs = nodes_of(prompt, kind)[-1]["inputs"]
    for name, value in changes.items():
        inputs.pop(name, None)
        if value is not None:
            inputs[name] = value
