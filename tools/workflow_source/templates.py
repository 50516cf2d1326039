"""Templates, apps and blueprints: each task as a form of a few fields, made of its open graph's description."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from .descriptions import (
    audio_driven,
    bridge,
    continuation,
    dialogue,
    dubbing,
    joint_generation,
    reference_voice,
    resync,
    retake,
    script,
    two_speakers,
)
from .flow import NOTES, note_height
from .model_flow import ModelFlow
from .node_kinds import NOTE
from .saved_forms import FRONTEND_VERSION, input_slots, saved_node
from .subgraphs import Field, Subgraph

PACK = "UniAVGen"
NOTE_COLUMN, GIVEN_COLUMN, MAIN_COLUMN, SAVE_COLUMN = (0, 340), (370, 290), (690, 390), (1110, 360)
"""Left and width of the note, of what the user gives, of the subgraph, and of the clip."""
SPACE = 60
"""Between nodes of a column, titles included."""
CLIP_HEIGHT, GIVEN_HEIGHTS = 430, {"LoadImage": 330, "LoadVideo": 380, "LoadAudio": 150}
FILE_WIDGETS = {"LoadImage": "image", "LoadVideo": "file", "LoadAudio": "audio"}
VIEW = {"scale": 1, "offset": [90, 150]}
"""What is seen at first: everything, at its own size, right of the side bar and below the tabs."""
TEXT_FIELD = {"height": 90}
"""Of an app."""
CATEGORY = "Video generation and editing/Talking video"

WORDS = Field("speech", "What is said", "STRING", "UniAVGenConditioning", "speech", True)
CAPTION = Field("caption", "What is seen and heard", "STRING", "Caption", "text", True)
SCRIPT = Field("script", "Script: what is seen | what is said", "STRING", "UniAVGenScript", "script", True)
SECONDS = Field("seconds", "Seconds (0: as the words take)", "FLOAT", "UniAVGenLatent", "seconds")
STEPS = Field("steps", "Steps", "INT", "UniAVGenSampler", "steps")
SEED = Field("seed", "Seed", "INT", "UniAVGenSampler", "seed")
SCRIPT_STEPS = Field("steps", "Steps", "INT", "UniAVGenScheduler", "steps")
SCRIPT_SEED = Field("seed", "Seed", "INT", "RandomNoise", "noise_seed")
TRANSCRIPT = Field(
    "transcript", "What the recording says", "STRING", "UniAVGenConditioning", "reference_transcript", True
)
HEARD = WORDS._replace(label="What the recording says (may be empty)")
START = Field("start", "From second", "FLOAT", "UniAVGenRange", "start")
END = Field("end", "To second", "FLOAT", "UniAVGenRange", "end")
NEW_WORDS = Field("words", "What is said there now", "STRING", "UniAVGenRange", "words", True)
BEFORE = Field("words_before", "What is said before it", "STRING", "UniAVGenRange", "words_before", True)
AFTER = Field("words_after", "What is said behind it", "STRING", "UniAVGenRange", "words_after", True)
FILES = (
    Field("model", "Model", "COMBO", "UniAVGenModelLoader", "model_name"),
    Field("vocoder", "Vocoder", "COMBO", "UniAVGenAudioCodecLoader", "vocoder_name"),
    Field("text_encoder", "Caption encoder", "COMBO", "Load caption encoder", "clip_name"),
    Field("vae", "VAE", "COMBO", "VAELoader", "vae_name"),
)


class Template(NamedTuple):
    """A task as a form.

    Attributes:
        describe: its open graph.
        title: what one gets.
        fields: what users set, but for the files.
        blueprint: its name, which holds what people type to find it; and more that they type.
        app: title of its app, if it has one.
        small_fields: those of the small model, where they are others.
    """

    describe: Callable[[ModelFlow], None]
    title: str
    fields: tuple[Field, ...]
    blueprint: str
    aliases: tuple[str, ...]
    app: str = ""
    small_fields: tuple[Field, ...] = ()


TEMPLATES = (
    Template(
        joint_generation,
        "Talking clip from a portrait",
        (WORDS, CAPTION, SECONDS, STEPS, SEED),
        "Talking Head from a Portrait",
        ("talking head", "talking clip", "talking portrait", "avatar", "image to talking video"),
        app="Talking clip",
    ),
    Template(
        reference_voice,
        "Talking clip in a recorded voice",
        (WORDS, CAPTION, TRANSCRIPT, SECONDS, STEPS, SEED),
        "Talking Head with a Cloned Voice",
        ("talking head", "voice clone", "reference voice", "talking clip"),
    ),
    Template(
        audio_driven,
        "A picture speaks a recording",
        (HEARD, CAPTION, STEPS, SEED),
        "Lip Sync a Picture to a Recording",
        ("lip sync", "audio driven", "talking head", "sing", "audio to video"),
        app="A picture speaks a recording",
    ),
    Template(
        dubbing,
        "Dub a video with a new voice",
        (WORDS, CAPTION, STEPS, SEED),
        "Dub a Video (Voice Over)",
        ("dub", "voice over", "voiceover", "dubbing", "video to audio"),
        app="Dub a video",
    ),
    Template(
        resync,
        "New lips for a video",
        (HEARD, CAPTION, STEPS, SEED),
        "Lip Sync a Video to a Recording",
        ("lip sync", "resync", "new lips", "dub", "video to video"),
        app="New lips for a video",
        small_fields=(WORDS, CAPTION, STEPS, SEED),
    ),
    Template(
        retake,
        "Another sentence in a video",
        (NEW_WORDS, BEFORE, START, END, CAPTION, SEED),
        "Replace a Sentence in a Video (Retake)",
        ("retake", "replace words", "edit speech", "lip sync"),
        app="Another sentence in a video",
    ),
    Template(
        continuation,
        "A video goes on",
        (WORDS, CAPTION, SECONDS._replace(label="Seconds, with the kept half second"), STEPS, SEED),
        "Extend a Talking Video",
        ("continue", "extend", "continuation", "talking head"),
    ),
    Template(
        bridge,
        "What lies between two videos",
        (WORDS, CAPTION, SECONDS, STEPS, SEED),
        "Bridge Two Talking Videos",
        ("bridge", "transition", "in between", "morph"),
    ),
    Template(
        script,
        "A script becomes a video",
        (SCRIPT, SECONDS._replace(label="Seconds of a segment, at most"), SCRIPT_STEPS, SCRIPT_SEED),
        "Talking Head from a Script (Long Video)",
        ("talking head", "long video", "script", "presenter", "story"),
        app="A script becomes a video",
    ),
    Template(
        dialogue,
        "Two people talk",
        (SCRIPT, SECONDS._replace(label="Seconds of a segment, at most"), SCRIPT_STEPS, SCRIPT_SEED),
        "Dialogue of Two Talking Heads",
        ("dialogue", "conversation", "podcast", "two speakers", "talking head"),
    ),
    Template(
        two_speakers,
        "One of two people speaks",
        (WORDS, CAPTION, SECONDS, STEPS, SEED),
        "Talking Head in a Group",
        ("who speaks", "two people", "talking head"),
    ),
)


@dataclass(frozen=True)
class TemplateForm:
    """A template for one of the two models."""

    template: Template
    tiny: bool

    def flow(self) -> ModelFlow:
        """What it is made of."""
        flow = ModelFlow(self.template.describe.__name__, self.tiny, samples=True)
        self.template.describe(flow)
        return flow

    @property
    def fields(self) -> tuple[Field, ...]:
        """All that users set, from top to bottom."""
        if self.tiny:
            return self.template.small_fields or self.template.fields
        return self.template.fields + FILES

    @property
    def file_name(self) -> str:
        """Of the template; the template browser shows it as the title."""
        return f"{PACK} small model - {self.template.title}" if self.tiny else f"{PACK} - {self.template.title}"

    @property
    def app_name(self) -> str:
        """Of the app's file."""
        return f"{PACK} app, small model - {self.template.app}" if self.tiny else f"{PACK} app - {self.template.app}"

    @property
    def pictured_files(self) -> list[str]:
        """What the template browser shows a picture of."""
        return [self.file_name, *([self.app_name] if self.template.app else [])]

    @property
    def has_blueprint(self) -> bool:
        """Of the small model, the first one alone is in the node library: to try how blueprints are used."""
        return not self.tiny or self.template is TEMPLATES[0]

    @property
    def blueprint_name(self) -> str:
        """Of the blueprint's file, which is all that search finds it by."""
        return f"{self.template.blueprint} - {PACK}{' small model' if self.tiny else ''}"

    def graph(self) -> dict[str, Any]:
        """The template as the frontend saves it."""
        flow = self.flow()
        subgraph = Subgraph(flow, self.template.title, self.fields, f"template {self.tiny}")
        sources = [socket.source for socket in subgraph.sockets if socket.source]
        links = [
            [number, source.node.id, source.output, subgraph.number, number - 1, source.type]
            for number, source in enumerate(sources, 1)
        ]
        saved_number = len(links) + 1
        links.append([saved_number, subgraph.number, 0, subgraph.saved.id, 0, "VIDEO"])
        names = {socket.name: number for number, socket in enumerate(subgraph.sockets, 1) if socket.source}
        saved = subgraph.saved
        slots = input_slots(saved)
        slots[0]["link"] = saved_number
        nodes = [
            self._note(subgraph),
            *self._given(subgraph, links),
            subgraph.node((MAIN_COLUMN[0], 0), MAIN_COLUMN[1], names, saved_number),
            _placed(saved_node(saved, slots, links), SAVE_COLUMN, 0, CLIP_HEIGHT),
        ]
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"uniavgen/{self.file_name}")),
            "revision": 0,
            "last_node_id": subgraph.number + 1,
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": [],
            "definitions": {"subgraphs": [subgraph.definition()]},
            "config": {},
            "extra": {"ds": VIEW, "frontendVersion": FRONTEND_VERSION},
            "version": 0.4,
        }

    def app(self) -> dict[str, Any]:
        """The template as an app: it opens as a form with a player."""
        graph = self.graph()
        given = [
            [str(node["id"]), FILE_WIDGETS[node["type"]]] for node in graph["nodes"] if node["type"] in FILE_WIDGETS
        ]
        number = str(graph["last_node_id"] - 1)
        fields = [[number, field.name, *([TEXT_FIELD] if field.is_text else [])] for field in self.fields]
        (saved,) = (str(node["id"]) for node in graph["nodes"] if node["type"] == "SaveVideo")
        graph["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"uniavgen/{self.app_name}"))
        graph["extra"] |= {"linearMode": True, "linearData": {"inputs": given + fields, "outputs": [saved]}}
        return graph

    def blueprint(self) -> dict[str, Any]:
        """The subgraph alone, for the node library."""
        subgraph = Subgraph(self.flow(), self.blueprint_name, self.fields, "blueprint")
        description = NOTES[f"about_{self.template.describe.__name__}"][1].split("\n")[0]
        return {
            "revision": 0,
            "last_node_id": subgraph.number,
            "last_link_id": 0,
            "nodes": [subgraph.node((0, 0), MAIN_COLUMN[1], {}, None)],
            "links": [],
            "definitions": {"subgraphs": [subgraph.definition(category=CATEGORY, description=description)]},
            "extra": {"BlueprintDescription": description, "BlueprintSearchAliases": list(self.template.aliases)},
            "version": 0.4,
        }

    def _note(self, subgraph: Subgraph) -> dict[str, Any]:
        """What the template does, and what it needs."""
        name = self.template.describe.__name__
        end = NOTES["form_small" if self.tiny else "form_files"][1]
        more = [NOTES[key][1] for key in (f"small_{name}" if self.tiny else f"more_{name}",) if key in NOTES]
        text = "\n\n".join((NOTES[f"about_{name}"][1], *more, end.format(name=name)))
        return {
            "id": subgraph.number + 1,
            "type": NOTE,
            "pos": [NOTE_COLUMN[0], 0],
            "size": [NOTE_COLUMN[1], note_height(text)],
            "flags": {},
            "order": 0,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "title": "About this workflow",
            "properties": {},
            "widgets_values": [text],
            "color": "#222",
            "bgcolor": "#000",
        }

    def _given(self, subgraph: Subgraph, links: list[list[Any]]) -> Iterator[dict[str, Any]]:
        """The nodes that load what the user gives, one below the other."""
        top = 0
        for node in subgraph.given:
            height, slots = GIVEN_HEIGHTS[node.kind.id], input_slots(node, {FILE_WIDGETS[node.kind.id]: "COMBO"})
            # An app shows it above the field.
            slots[0]["label"] = node.title
            yield _placed(saved_node(node, slots, links), GIVEN_COLUMN, top, height)
            top += height + SPACE


def _placed(saved: dict[str, Any], column: tuple[int, int], top: int, height: int) -> dict[str, Any]:
    left, width = column
    return {**saved, "pos": [left, top], "size": [width, height]}


def forms() -> Iterator[TemplateForm]:
    """All templates, for both models."""
    for template in TEMPLATES:
        for tiny in (False, True):
            yield TemplateForm(template, tiny)
