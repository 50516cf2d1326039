"""What a node shows while it works: a progress bar, and text."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import comfy.utils
from comfy_execution.utils import get_executing_context


def progress_bar(total: int) -> Callable[[int], None]:
    """A function that is told how much is done; it raises ComfyUI's interrupt where the user has cancelled."""
    bar = comfy.utils.ProgressBar(total)

    def show(done: int) -> None:
        check_interrupt()
        bar.update_absolute(done)

    return show


def check_interrupt() -> None:
    """Raise ComfyUI's interrupt where the user has cancelled."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def show_text(text: str) -> None:
    """Show text on the node that runs; where nodes run without ComfyUI's server, nothing is shown."""
    context = get_executing_context()
    if context is None:
        return
    # Not at the top: without the server, it cannot be imported.
    from server import PromptServer

    PromptServer.instance.send_progress_text(text, context.node_id)
