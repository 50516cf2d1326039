"""UniAVGen for ComfyUI: talking clips with picture and voice from a portrait and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """The pack's nodes. Imported only here, so that tests and tools can import this package without ComfyUI."""
    from .nodes import comfy_entrypoint as entrypoint

    return await entrypoint()
