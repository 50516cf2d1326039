"""The measure of dialogues."""

from __future__ import annotations

import pytest

from uniavgen_lab.evaluation import dialogues


def line(errors: int, words: int, timbre: float, **listener: float) -> dict[str, float]:
    return {"word_errors": errors, "words": words, "timbre": timbre, "other_timbre": 0.0, "correlation": 0.5} | listener


def test_a_row_counts_words_and_leaves_out_what_is_not_seen() -> None:
    row = dialogues.summarise_lines([line(1, 3, 1.0, listener=0.2, silent=1.0), line(2, 9, 0.0)])
    assert row["word_error_rate"] == pytest.approx(0.25) and row["timbre"] == 0.5 and row["lines"] == 2
    assert row["listener"] == 0.2 and row["silent"] == 1.0, "of the lines in which a listener is seen"
    cut = dialogues.summarise_lines([{name: 1.0 for name in ("timbre", "other_timbre", "correlation")}])
    assert cut["listener"] is None and cut["word_error_rate"] is None
    table = dialogues.dialogue_table({"two voices": row, "by cuts": cut}).splitlines()
    assert table[2] == "| two voices | 0.25 | 0.50 | 0.00 | 0.20 | 1.00 | 0.50 |"
    assert table[3] == "| by cuts | – | 1.00 | 1.00 | – | – | 1.00 |"
