"""What tests with random input share: how many inputs they try, damaged files, and what may come of one.

`UNIAVGEN_FUZZ=many` tries ten thousand, others each time; a failure prints what repeats it. Else they are a hundred,
always the same. `UNIAVGEN_FUZZ=500` tries so many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

WANTED = os.environ.get("UNIAVGEN_FUZZ", "")
INPUTS = 10_000 if WANTED == "many" else int(WANTED or 100)
ALWAYS_THE_SAME = not WANTED
fuzzed = settings(
    max_examples=INPUTS,
    derandomize=ALWAYS_THE_SAME,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
"""Decorates a test: how many inputs it gets."""
fuzzed_rarely = settings(fuzzed, max_examples=-(-INPUTS // 5))
"""The same for what builds a model each time."""
NUMBERS = [0, 1, 7, 8, 127, 128, 255, 2**16, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1]


@contextmanager
def refused_in_words(*names: str) -> Iterator[None]:
    """What a reader may do with bad input: take it, or refuse it by an error of its own that names it.

    Args:
        names: of which the message must hold one.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        message = str(error)
        # Errors of Python's own: they say nothing of what the user gave.
        assert type(error) not in (UnicodeDecodeError, UnicodeEncodeError), message
        assert any(name in message for name in names), f"{type(error).__name__}: {message}"
        assert len(message) < 10_000


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """No file may come or go in a folder."""
    before = sorted(folder.rglob("*"))
    yield
    assert sorted(folder.rglob("*")) == before


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Bytes of a good file, some of them changed, left out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["change", "number", "cut", "leave out", "double", "noise"]))
        length = draw(st.integers(1, 64))
        if kind == "change" and data:
            data[index] ^= draw(st.integers(1, 255))
        elif kind == "number":
            number = draw(st.sampled_from(NUMBERS)).to_bytes(8, draw(st.sampled_from(["little", "big"])))
            data[index : index + 8] = number
        elif kind == "cut":
            del data[index:]
        elif kind == "leave out":
            del data[index : index + length]
        elif kind == "double":
            data[index:index] = data[index : index + length]
        else:
            data[index : index + length] = draw(st.binary(min_size=length, max_size=length))
    return bytes(data)


def odd_json(most: int = 20) -> st.SearchStrategy[Any]:
    """Values that JSON holds."""
    numbers = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(NUMBERS)
    return st.recursive(
        st.none() | st.booleans() | numbers | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=most,
    )


DEEP = "[" * 100_000
PIECES = [
    "|", "\\|", "[pause 1]", "[pause", "[seed 7]", "[seed 99999999999999999999]", "[speaker 2]", "[speaker]",
    "[Nguyen|win]", "[银行|yin2 hang2]", "[银行|xx9]", "[a|]", "[|b]", "【停|ting2】", "［pause １］",
    "<break time='1s'/>", "<break/>", "<speak>", "**", "*", "_", "__", "~~", "`", "```", "# ", "- ", "---", "[x](y)",
    "Dr. ", "3.14", "1,000,000", "$5", "€", "%", "12:30", "2024-02-30", "½", "①", "Ⅳ", "A.B.", "NASA", "www.a.b",
    "a@b.c", "\n", "\r\n", "\x00", "\x1b[31m", "\u2028", "\ufeff", "\u200d", "\u202e", "\u0301", "\ud800", "😀",
    "你好", "銀行", "龘", "。", "，", "“", "”", "привет", "こんにちは", "مرحبا", "x" * 1200, "9" * 900,
    " ", "hello ", "It's ",
]  # fmt: skip
"""Of texts that people and other programs write."""
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join) | st.text(max_size=40)
