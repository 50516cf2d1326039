"""Features of captions by a frozen umT5, as the released model was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uniavgen_core.config import CAPTION_ROWS
from uniavgen_core.files import needed

ENCODER_FOLDER, TOKENIZER_FOLDER = "text_encoder", "tokenizer"
"""Names of their folders in that of a whole diffusers model."""


class FrozenCaptions:
    """umT5's encoder and its tokenizer.

    Args:
        folder: of transformers: holds both, or a folder `text_encoder` and a folder `tokenizer`.
        device: where it computes.

    Raises:
        FileNotFoundError: the folder holds no such model.
        NotInstalledError: transformers is not installed.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        encoder, tokenizer = (_folder_of(folder, name) for name in (ENCODER_FOLDER, TOKENIZER_FOLDER))
        if not (encoder / "config.json").is_file():
            raise FileNotFoundError(
                f"There is no caption encoder {folder}: give a transformers folder of umT5, with its config.json, "
                "weights and tokenizer."
            )
        transformers = needed("transformers", "to encode captions", package="transformers")
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        self._encoder: Any = (
            transformers.UMT5EncoderModel.from_pretrained(encoder, local_files_only=True).eval().to(device)
        )

    @torch.no_grad()
    def features(self, caption: str) -> Tensor:
        """Rows (n, width) of a caption, n at most 512, without padding."""
        text = " ".join(caption.split())
        tokens = self._tokenizer(text, max_length=CAPTION_ROWS, truncation=True, return_tensors="pt").input_ids
        return self._encoder(tokens.to(self._encoder.device)).last_hidden_state[0].float().cpu()


def _folder_of(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder
