"""ComfyUI's real frontend in headless Chromium, used as a person would: drop a workflow, look, run, look again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from patience import PATIENCE_SECONDS
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, Response, sync_playwright

from comfy.prompt_errors import PromptRejected
from comfy.server import ComfyServer

OF_THE_FRONTEND = "removeMask"
"""In an exception of frontend 1.49: it takes its veil away twice where graphs follow each other, whoever made them."""
HARMLESS = ("Failed to load resource", "Missing Link ID when unpacking")
"""What the frontend writes as an error though it is none: there is no user.css, a subgraph had a widget of its own."""
SETTLE_SECONDS = 10
POLL_MILLISECONDS = 20
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
QUIET_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Workflow.Persist": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.VersionCompatibility.DisableWarnings": True,
}
"""The frontend's settings that keep first-run panels and counters off the picture."""
PERSIST = "Comfy.Workflow.Persist"
"""The setting that brings the open workflows back after a reload; a user has it on."""
NODES_2 = "Comfy.VueNodes.Enabled"
"""The setting that draws nodes with HTML instead of on the canvas, which the frontend calls Nodes 2.0."""

READY = "() => window.app?.vueAppReady && window.app.graph && window.app.extensionManager?.workflow?.activeWorkflow"
COMMAND = "async name => { await window.app.extensionManager.command.execute(name); }"
IDLE = "() => new Promise(done => requestAnimationFrame(() => requestIdleCallback(done, {timeout: 1000})))"
DROP = """([name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name, {type: "application/json"}));
    const canvas = document.querySelector("#graph-canvas");
    const box = canvas.getBoundingClientRect();
    const at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2};
    for (const kind of ["dragenter", "dragover", "drop"])
        canvas.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true, ...at}));
}"""
SHOWN = """([name, nodes]) => {
    const {activeWorkflow, isBusy} = window.app.extensionManager.workflow;
    return !isBusy && activeWorkflow?.filename === name && window.app.graph.nodes.length === nodes;
}"""
"""A frontend that still opens a workflow does not hear of the next one."""
TABS = "() => window.app.extensionManager.workflow.openWorkflows.map(workflow => workflow.filename)"
PROBLEMS = """() => {
    const found = [];
    const describe = node => `node ${node.id} (${node.type})`;
    for (const node of window.app.graph.nodes) {
        if (!(node.type in window.LiteGraph.registered_node_types) && !node.isSubgraphNode?.())
            found.push(`${describe(node)} is of an unknown type`);
        if (node.has_errors) found.push(`${describe(node)} is red`);
        for (const input of node.inputs ?? [])
            if (input.hasErrors) found.push(`${describe(node)} has a red input ${input.name}`);
    }
    for (const [id, node] of Object.entries(window.app.lastNodeErrors ?? {}))
        for (const error of node.errors)
            found.push(`node ${id} (${node.class_type}): ${error.message}: ${error.details}`);
    const failure = window.app.lastExecutionError;
    if (failure) found.push(`node ${failure.node_id} (${failure.node_type}): ${failure.exception_message.trim()}`);
    const shown = "[data-testid=error-overlay], .p-toast-message-error, .comfy-error-report, .comfy-missing-nodes";
    for (const element of document.querySelectorAll(shown))
        found.push(`shown: ${element.innerText.replace(/\\s+/g, " ")}`);
    return found;
}"""
SET_WIDGETS = """([kind, values]) => {
    const [node, ...others] = window.app.graph.nodes.filter(node => node.type === kind);
    if (!node || others.length) throw new Error(`there is not exactly one ${kind}`);
    for (const [name, value] of values) {
        const widget = node.widgets.find(widget => widget.name === name);
        if (!widget) throw new Error(`${kind} has no ${name}, only ${node.widgets.map(widget => widget.name)}`);
        widget.value = value;
        widget.callback?.(value);
    }
}"""
WATCH_RUN = """() => {
    window.watchedRun = {steps: [], previews: 0};
    window.app.api.addEventListener("progress", ({detail}) => window.watchedRun.steps.push([detail.value, detail.max]));
    window.app.api.addEventListener("b_preview", () => window.watchedRun.previews++);
}"""

RUN_WAS_WATCHED = """steps => {
    const {steps: told, previews} = window.watchedRun;
    return previews >= steps && told.some(([value, max]) => value === steps && max === steps);
}"""


def find_chromium(environment: Mapping[str, str]) -> str | None:
    """CHROMIUM_PATH, else the chromium on the path, else None."""
    return environment.get("CHROMIUM_PATH") or shutil.which("chromium")


@contextmanager
def launch_chromium(executable: str) -> Iterator[Browser]:
    """A headless Chromium, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Frontend:
    """One page of the frontend. `page` is Playwright's, for whatever the methods here do not do.

    `settings` are the frontend's own, by their ids; they go before QUIET_SETTINGS.
    """

    def __init__(self, page: Page, server: ComfyServer, settings: Mapping[str, Any]) -> None:
        self.page = page
        self.server = server
        self.settings = {**QUIET_SETTINGS, **settings}
        self.script_errors: list[str] = []
        """Uncaught JavaScript exceptions, the frontend's own and those of extensions."""
        self.console_errors: list[str] = []
        """What was written to the console as an error since the frontend started."""
        self._requests: set[Request] = set()
        page.on("pageerror", self._keep_error)
        page.on("console", self._hear)
        page.on("request", lambda request: self._requests.add(request))
        page.on("requestfinished", lambda request: self._requests.discard(request))
        page.on("requestfailed", lambda request: self._requests.discard(request))

    def _keep_error(self, error: Error) -> None:
        if OF_THE_FRONTEND not in str(error):
            self.script_errors.append(str(error))

    def _hear(self, message: ConsoleMessage) -> None:
        ours = not message.text.startswith(HARMLESS) and OF_THE_FRONTEND not in message.text
        if message.type == "error" and ours:
            self.console_errors.append(message.text)

    def open(self) -> None:
        """Load the frontend, wait until it has set up its first graph, which is an example, and open an empty one."""
        self.server.request("/settings", self.settings)
        self.page.goto(self.server.url)
        self.wait_until_ready()
        self.open_tab()

    def wait_until_ready(self) -> None:
        """Wait until the frontend has started; it writes errors of its own until then."""
        self.page.wait_for_function(READY)
        self.settle()
        self.console_errors.clear()

    def command(self, name: str) -> None:
        """Carry out one of the frontend's commands, which menus and keys stand for ("Comfy.Undo"), to its end."""
        self.page.evaluate(COMMAND, name)

    def open_tab(self) -> None:
        """Open an empty graph in a tab of its own."""
        self.command("Comfy.NewBlankWorkflow")
        self.page.wait_for_function("() => window.app.graph.nodes.length === 0")

    def reload(self) -> None:
        """Load the page again, and wait until the frontend has started."""
        self.page.reload()
        self.wait_until_ready()

    def tabs(self) -> list[str]:
        """The names of the open workflows, in the order of their tabs."""
        names: list[str] = self.page.evaluate(TABS)
        return names

    def drop_workflow(self, name: str, workflow: dict[str, Any]) -> None:
        """Drop a workflow in UI form on the canvas as a file called `name`.json, and wait until it has loaded."""
        self.page.evaluate(DROP, [f"{name}.json", json.dumps(workflow)])
        self.wait_for_workflow(name, len(workflow["nodes"]))

    def wait_for_workflow(self, name: str, nodes: int) -> None:
        """Wait until the workflow of this name, and of so many nodes, is the one that is shown and edited."""
        self.page.wait_for_function(SHOWN, arg=[name, nodes])
        self.settle()

    def settle(self) -> None:
        """Wait for what the frontend does after the fact, such as looking for missing files and loading pictures."""
        self.page.evaluate(IDLE)
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._requests and time.monotonic() < deadline:
            self.page.wait_for_timeout(POLL_MILLISECONDS)
        self.page.evaluate(IDLE)

    def problems(self) -> list[str]:
        """All that a person would see in red, a line each: unknown nodes, red nodes and inputs, error messages."""
        lines: list[str] = self.page.evaluate(PROBLEMS)
        return lines

    def api_prompt(self) -> dict[str, Any]:
        """The graph in API form, as the frontend would send it."""
        prompt: dict[str, Any] = self.page.evaluate("async () => (await window.app.graphToPrompt()).output")
        return prompt

    def workflow(self) -> dict[str, Any]:
        """The graph in UI form, as the frontend would save it."""
        # As text: Playwright would hand over a null for what JSON leaves out.
        text: str = self.page.evaluate("async () => JSON.stringify((await window.app.graphToPrompt()).workflow)")
        workflow: dict[str, Any] = json.loads(text)
        return workflow

    def set_widgets(self, kind: str, values: Mapping[str, Any]) -> None:
        """Set widgets of the graph's only node of this type, in this order; an option may bring the next ones."""
        self.page.evaluate(SET_WIDGETS, [kind, list(values.items())])

    def watch_run(self) -> None:
        """Note from now on what the page is told while prompts run, for `wait_for_run_of`."""
        self.page.evaluate(WATCH_RUN)

    def wait_for_run_of(self, steps: int) -> None:
        """Wait until the page has been told, since `watch_run`, of so many steps with a preview each."""
        self.page.wait_for_function(RUN_WAS_WATCHED, arg=steps)

    def queue(self) -> str:
        """Press Run; the prompt's id. Raises PromptRejected where validation refuses the graph."""
        with self.page.expect_response(is_prompt_answer) as waiting:
            self.page.evaluate("() => window.app.queuePrompt(0)")
        answer = waiting.value.json()
        if answer.get("node_errors") or "prompt_id" not in answer:
            raise PromptRejected(answer)
        prompt_id: str = answer["prompt_id"]
        return prompt_id

    def run(self, timeout: float = 300) -> dict[str, Any]:
        """Press Run and wait for the end; the outputs, {node id: {kind: [...]}}.

        Raises PromptRejected, PromptFailed or PromptInterrupted.
        """
        prompt_id = self.queue()
        self.server.wait(prompt_id, timeout)
        self.settle()
        return self.server.result(prompt_id)

    def fit_view(self) -> None:
        """Zoom so that the whole graph is in view."""
        self.command("Comfy.Canvas.FitView")
        self.settle()

    def screenshot(self, file: Path) -> None:
        """Write what the page shows as a PNG."""
        self.page.screenshot(path=file)


def is_prompt_answer(response: Response) -> bool:
    """Whether this is ComfyUI's answer to a queued prompt."""
    return response.request.method == "POST" and response.url.endswith("/prompt")


@contextmanager
def open_frontend(
    browser: Browser,
    server: ComfyServer,
    settings: Mapping[str, Any] = MappingProxyType({}),
    width: int = 1600,
    height: int = 1000,
) -> Iterator[Frontend]:
    """The frontend of `server` in a page without history, of this many pixels, with an empty graph."""
    context = browser.new_context(viewport={"width": width, "height": height})
    # A page on a busy machine may need minutes for what takes a second elsewhere.
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    try:
        frontend = Frontend(context.new_page(), server, settings)
        frontend.open()
        yield frontend
    finally:
        context.close()
