"""Measures of items, kept in a file as they are taken, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uniavgen_core.files import written_into

from .bench_items import MadeItem
from .bench_measures import Probe, Values
from .bench_models import state_of

logger = logging.getLogger(__name__)


class KeptMeasures:
    """A file with a JSON line each: what a measure depends on, and its values. The last line of a kind counts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Values] = {}
        self._digests: dict[Path, str | None] = {}
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        self._is_cut_off = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = entry["values"]
            except (ValueError, KeyError, TypeError):
                # A run that was killed leaves half a line; its item is measured again.
                logger.warning("%s has a line that is no measure: it is left out.", file)

    def key(self, name: str, probe: Probe, paths: Sequence[Path], made: MadeItem) -> str:
        """What the measures of an item by a model are kept under: the model, its version here, and the files read."""
        files = {kind: self._digest(made.file(kind)) for kind in probe.reads}
        depends: dict[str, Any] = {
            "item": f"{made.item.folder}/{made.item.name}", "probe": name, "version": probe.version,
            "model": state_of(paths), "files": files,
        }  # fmt: skip
        return json.dumps(depends, sort_keys=True)

    def find(self, key: str) -> Values | None:
        """The values of a key, if they are known."""
        return self._known.get(key)

    def add(self, key: str, values: Values) -> None:
        """Keep the values of a key.

        Raises:
            NotWrittenError: the folder takes no file.
        """
        self._known[key] = values
        with written_into(self._file.parent), self._file.open("a", encoding="utf-8") as file:
            file.write("\n" * self._is_cut_off + json.dumps({"key": key, "values": values}) + "\n")
        self._is_cut_off = False

    def _digest(self, file: Path) -> str | None:
        if file not in self._digests:
            self._digests[file] = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        return self._digests[file]
