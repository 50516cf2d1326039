"""What ComfyUI tells its clients over the websocket while it works."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from patience import PATIENCE_SECONDS
from websockets.sync.client import ClientConnection, connect

PREVIEW_KINDS = {1, 2, 4}
"""First four bytes (big-endian) of the binary frames that carry a picture."""
TEXT_KIND = 3
"""Those of frames that carry text: the length of a node's id in four bytes, the id, and what the node shows."""


class EventRecorder:
    """The events of one websocket client so far.

    `events` are the JSON messages, {"type", "data"}, in the order of arrival; `previews` counts preview pictures;
    `texts` are what nodes show on themselves, (id, text).
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.previews = 0
        self.texts: list[tuple[str, str]] = []
        self._changed = threading.Condition()

    def record(self, connection: ClientConnection) -> None:
        """Take messages until the connection closes."""
        for message in connection:
            with self._changed:
                self._take(message)
                self._changed.notify_all()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.events.append(json.loads(message))
            return
        kind = int.from_bytes(message[:4], "big")
        if kind in PREVIEW_KINDS:
            self.previews += 1
        elif kind == TEXT_KIND:
            start = 8 + int.from_bytes(message[4:8], "big")
            self.texts.append((message[8:start].decode(), message[start:].decode()))

    def of_type(self, name: str) -> list[dict[str, Any]]:
        """The data of all events of this type so far, such as "progress" with its `value` and `max`."""
        with self._changed:
            return [event["data"] for event in self.events if event["type"] == name]

    def wait_for(self, name: str, matches: Callable[[dict[str, Any]], bool] = lambda data: True) -> dict[str, Any]:
        """The data of the first event of this type that `matches`; raises TimeoutError when none comes."""

        def first() -> dict[str, Any] | None:
            found = (event for event in self.events if event["type"] == name and matches(event["data"]))
            return next(found, None)

        with self._changed:
            event = self._changed.wait_for(first, PATIENCE_SECONDS)
        if event is None:
            raise TimeoutError(f"no {name!r} event within {PATIENCE_SECONDS:g} s")
        return event["data"]

    def wait_for_previews(self, count: int) -> None:
        """Wait until so many previews have come, each after the progress of its step; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.previews >= count, PATIENCE_SECONDS):
                raise TimeoutError(f"{self.previews} previews within {PATIENCE_SECONDS:g} s, not {count}")


@contextmanager
def record_events(url: str) -> Iterator[EventRecorder]:
    """Record in a thread what the websocket at `url` sends, until the context is left."""
    recorder = EventRecorder()
    # A busy server answers pings late, and its events come all the same.
    with connect(url, max_size=None, proxy=None, open_timeout=PATIENCE_SECONDS, ping_interval=None) as connection:
        thread = threading.Thread(target=recorder.record, args=(connection,), daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            connection.close()
            thread.join()
