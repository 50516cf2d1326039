"""The report of a soak: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soak_run.impatient_client import DONE, FAULTY, PromptEnd

MEGABYTE = 10**6
MOST_GROWTH = 0.02
"""Of the last memory over the 50th prompt's."""
CHANGING = re.compile(r"/\S+/|[\w.]*\d[\w.]*")
"""Paths, numbers and names that have numbers, which differ from prompt to prompt."""
SAVER, PREVIEW = "SaveVideo: ", "temp/ComfyUI_temp_"
MESSAGE_LENGTH = 160


@dataclass
class SoakReport:
    """All that one run has seen."""

    seed: int
    clients: int
    comfyui: str
    small_disk: bool
    seconds: float = 0.0
    memory: dict[int, int] = field(default_factory=dict)
    """Bytes of the server's own after so many prompts, with ComfyUI's cache emptied; 0: before the first."""
    memory_with_cache: dict[int, int] = field(default_factory=dict)
    """The same with what ComfyUI keeps of the prompts before, until memory runs low."""
    outcomes: list[PromptEnd] = field(default_factory=list)
    acts: dict[str, int] = field(default_factory=dict)
    fills: int = 0
    files_left: list[str] = field(default_factory=list)
    restarted: str = ""
    """What a clip was like that a kill of the server cut short, after the restart."""
    files_left_after_kill: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float | None:
        """Of the memory from the 50th prompt to the last, as a fraction; None where there were fewer."""
        last = max(self.memory, default=0)
        return self.memory[last] / self.memory[50] - 1 if last > 50 and 50 in self.memory else None

    @property
    def parts_by_comfyui(self) -> list[str]:
        """Files of ComfyUI's own Save Video and previews, which write under the final name, where the disk was full."""
        messages = [each.message for each in self.outcomes if each.message.startswith(SAVER)]
        return [name for name in self.files_left if PREVIEW in name or any(name in message for message in messages)]

    @property
    def others_left(self) -> list[str]:
        """All other files that nobody wants, before the kill of the server and after it."""
        return sorted({*self.files_left, *self.files_left_after_kill} - {*self.parts_by_comfyui})

    @property
    def faults(self) -> list[str]:
        """What was not as it should be."""
        unexpected = [
            f"prompt {each.number} ({each.workflow}, {each.act}): {each.how} {_short(each.message)}"
            for each in self.outcomes
            if not each.is_expected
        ]
        found = [*unexpected, *(f"left: {name}" for name in self.others_left)]
        if self.growth is not None and self.growth > MOST_GROWTH:
            found.append(f"memory grew by {self.growth:.1%} from the 50th prompt to the last")
        return found

    def write(self, target: Path) -> None:
        """Write `target`.md and `target`.json."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_suffix(".md").write_text(self.markdown(), encoding="utf-8")
        target.with_suffix(".json").write_text(json.dumps(self.as_data(), indent=2) + "\n", encoding="utf-8")

    def as_data(self) -> dict[str, Any]:
        """The report for JSON."""
        return asdict(self) | {"machine": machine(), "growth": self.growth, "faults": self.faults}

    def markdown(self) -> str:
        """The report for people."""
        how = Counter(each.how for each in self.outcomes)
        acts = ", ".join(f"{act} {count}" for act, count in sorted(self.acts.items()))
        kinds = Counter(each.workflow.removeprefix("tiny_") for each in self.outcomes)
        parts = [
            f"Seed {self.seed}; {len(self.outcomes)} prompts from {self.clients} clients in {self.seconds / 60:.0f} "
            f"minutes; ComfyUI {self.comfyui}; {machine()}.",
            f"Tasks: {', '.join(f'{name} {count}' for name, count in sorted(kinds.items()))}.",
            f"What the clients did after asking: {acts}. "
            + (f"The disk was filled {self.fills} times." if self.small_disk else "No small disk could be had here."),
            _table(("prompts", "memory of the server's own, MB (with ComfyUI's cache)"), self._memory_rows()),
            _table(("ended as", "prompts"), how.most_common()),
            f"Clips right: {how[DONE]} of {how[DONE] + how[FAULTY]}. {self.restarted} Files left: "
            f"{len(self.others_left)}, and {len(self.parts_by_comfyui)} parts by ComfyUI's own Save Video and previews "
            "on the full disk.",
            _table(("message", "prompts"), _messages(self.outcomes)),
            "Not as it should be: "
            + ("nothing." if not self.faults else "".join(f"\n- {line}" for line in self.faults)),
        ]
        return "\n\n".join(parts) + "\n"

    def _memory_rows(self) -> list[tuple[str, str]]:
        rows = []
        for count, taken in sorted(self.memory.items()):
            cached = self.memory_with_cache.get(count)
            rows.append((str(count), f"{taken / MEGABYTE:.0f}" + (f" ({cached / MEGABYTE:.0f})" if cached else "")))
        return rows if self.growth is None else [*rows, ("last over the 50th", f"{self.growth:+.1%}")]


def machine() -> str:
    """This machine in words."""
    return f"{os.cpu_count()} CPU cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"


def _messages(outcomes: Sequence[PromptEnd]) -> list[tuple[str, int]]:
    """Messages of failures without what differs from one to the next, and how often each came."""
    return Counter(_short(CHANGING.sub("…", each.message)) for each in outcomes if each.message).most_common()


def _short(message: str) -> str:
    line = " ".join(message.split()).replace("|", "\\|")
    return line if len(line) <= MESSAGE_LENGTH else f"{line[:MESSAGE_LENGTH]}…"


def _table(head: tuple[str, str], rows: Sequence[tuple[Any, Any]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)
