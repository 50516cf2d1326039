"""A stand-in for a ComfyUI server: its routes and formats (0.33) without its nodes, to be killed and held at will."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from patience import PATIENCE_SECONDS

from comfy.graphs import Prompt, id_of

SAVER = "SaveVideo"
LOADERS = {"LoadImage": "image", "LoadAudio": "audio", "LoadVideo": "file"}


class FakeComfy:
    """A server on a free port of this machine; `start` it, and `kill` it as often as wanted.

    It runs queued prompts one after the other: the one node that saves writes a file. What is uploaded and saved
    outlives a `kill`; queue and history do not, as in ComfyUI.

    Attributes:
        missing: node classes that it does not know.
        faults: maps the name of a result to what its prompt fails with.
        partly: whether validation finds fault with another output than the one that is made.
        deadly: the names of results whose prompts end the server, which starts again at once.
        away: whether requests get no answer, while prompts go on.
        before, after: called with the request's path before and after it is obeyed; may raise ConnectionError, and then
            there is no answer.
        seconds: that a prompt takes.
        lies: by the first part of their paths, what is answered instead: bytes, or what writes to the connection.
        prompts: all prompts that were ever queued, by their ids.
        runs: the names of the results of all prompts that began to run.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.faults: dict[str, str] = {}
        self.before: Callable[[str], None] = lambda path: None
        self.after: Callable[[str], None] = lambda path: None
        self.partly = False
        self.deadly: set[str] = set()
        self.away = False
        self.lies: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seconds = 0.0
        self.inputs: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self.prompts: dict[str, Prompt] = {}
        self.runs: list[str] = []
        self.uploads = 0
        self.longest_queue = 0
        self.port = 0
        self.lock = threading.Condition()
        self.running: list[str] = []
        self.pending: list[str] = []
        self.history: dict[str, dict[str, Any]] = {}
        self._http: ThreadingHTTPServer | None = None
        self._life = 0
        self._holds: Callable[[str], bool] = lambda name: False

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer, on the same port as before a `kill`."""
        handler = type("Handler", (_Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", self.port), handler)
        self.port = self._http.server_address[1]
        self._life += 1
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        threading.Thread(target=self._work, args=(self._life,), daemon=True).start()

    def kill(self) -> None:
        """Refuse connections and forget what was queued."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        with self.lock:
            self._life += 1
            self.running, self.pending, self.history = [], [], {}
            self.lock.notify_all()

    def hold(self, *names: str) -> None:
        """From now on let the prompts of these results, or by default all, begin but not end."""
        with self.lock:
            self._holds = lambda name: not names or name in names
            self.lock.notify_all()

    def release(self) -> None:
        """Let all prompts end."""
        with self.lock:
            self._holds = lambda name: False
            self.lock.notify_all()

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something here is as wanted."""
        with self.lock:
            assert self.lock.wait_for(condition, PATIENCE_SECONDS), "it did not come about"

    def _work(self, life: int) -> None:
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self._life != life or self.pending)
                if self._life != life:
                    return
                prompt_id = self.pending.pop(0)
            if not self._run(prompt_id, life):
                return

    def _run(self, prompt_id: str, life: int) -> bool:
        """Run a prompt; whether the server lives on."""
        name = result_name(self.prompts[prompt_id])
        with self.lock:
            self.running = [prompt_id]
            self.runs.append(name)
            self.lock.notify_all()
            self.lock.wait_for(lambda: self._life != life or not self.running, self.seconds)
            self.lock.wait_for(lambda: self._life != life or not self.running or not self._holds(name))
            if self._life == life and self.running and name not in self.deadly:
                self.end(prompt_id)
        if name in self.deadly:
            self.kill()
            self.start()
        return name not in self.deadly

    def end(self, prompt_id: str, interrupted: bool = False) -> None:
        """Write the history entry of the running prompt, and its file."""
        prompt = self.prompts[prompt_id]
        saver = id_of(prompt, SAVER)
        node = {"prompt_id": prompt_id, "node_id": saver, "node_type": SAVER, "executed": [], "timestamp": 3500}
        messages = [["execution_start", {"prompt_id": prompt_id, "timestamp": 1000}]]
        fault, outputs = self.faults.get(result_name(prompt)), {}
        if interrupted:
            messages.append(["execution_interrupted", node])
        elif fault:
            error = {"exception_message": f"{fault}\n", "exception_type": "RuntimeError", "traceback": []}
            messages.append(["execution_error", node | error])
        else:
            messages.append(["execution_success", {"prompt_id": prompt_id, "timestamp": 3500}])
            outputs = {saver: self._save(prompt[saver]["inputs"]["filename_prefix"], json.dumps(prompt).encode())}
        worked = bool(outputs)
        self.history[prompt_id] = {
            "prompt": [0, prompt_id, prompt, {}, [saver]],
            "outputs": outputs,
            "status": {"status_str": "success" if worked else "error", "completed": worked, "messages": messages},
        }
        self.running = []
        self.lock.notify_all()

    def _save(self, prefix: str, content: bytes) -> dict[str, Any]:
        folder, _, name = prefix.rpartition("/")
        number = 1 + sum(file.startswith(f"{prefix}_") for file in self.outputs)
        file = f"{name}_{number:05}_.mp4"
        self.outputs[f"{folder}/{file}"] = content
        return {"images": [{"filename": file, "subfolder": folder, "type": "output"}], "animated": [True]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    fake: FakeComfy

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._route(
            {"object_info": self._object_info, "queue": self._queue, "history": self._history, "view": self._view}
        )

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self._route(
            {"upload": self._upload, "prompt": self._prompt, "queue": self._delete, "interrupt": self._interrupt}
        )

    def _route(self, routes: dict[str, Callable[[], Any]]) -> None:
        url = urlsplit(self.path)
        self.parts = [unquote(part) for part in url.path.strip("/").split("/")]
        self.query = dict(parse_qsl(url.query))
        if self.parts[0] not in routes:
            self._answer({}, 404)
            return
        try:
            if self.fake.away:
                raise ConnectionResetError
            self.fake.before(url.path)
            with self.fake.lock:
                answer = routes[self.parts[0]]()
                self.fake.lock.notify_all()
            self.fake.after(url.path)
            lie = self.fake.lies.get(self.parts[0])
            if callable(lie):
                lie(self)
                raise ConnectionResetError
        except ConnectionError:
            self.close_connection = True
            return
        if lie is not None:
            answer = lie.replace(b"ID", self.parts[-1].encode())
        self._answer(*answer) if isinstance(answer, tuple) else self._answer(answer)

    def _answer(self, content: Any, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _object_info(self) -> Any:
        return {} if self.parts[1] in self.fake.missing else {self.parts[1]: {"input": {}, "name": self.parts[1]}}

    def _queue(self) -> Any:
        items = {id: [0, id, self.fake.prompts[id], {}, []] for id in self.fake.running + self.fake.pending}
        return {
            "queue_running": [items[id] for id in self.fake.running],
            "queue_pending": [items[id] for id in self.fake.pending],
        }

    def _history(self) -> Any:
        entry = self.fake.history.get(self.parts[1])
        return {self.parts[1]: entry} if entry else {}

    def _view(self) -> Any:
        assert self.query["type"] == "output"
        content = self.fake.outputs.get(f"{self.query['subfolder']}/{self.query['filename']}")
        return content if content is not None else (b"", 404)

    def _upload(self) -> Any:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        folder = parts["subfolder"].get_content().strip()
        name, content = parts["image"].get_filename(), parts["image"].get_payload(decode=True)
        assert parts["type"].get_content().strip() == "input" and "overwrite" not in parts
        self.fake.uploads += 1
        if self.fake.inputs.get(f"{folder}/{name}", content) != content:
            stem, dot, suffix = name.rpartition(".")
            name = f"{stem} (1){dot}{suffix}"
        self.fake.inputs[f"{folder}/{name}"] = content
        return {"name": name, "subfolder": folder, "type": "input"}

    def _prompt(self) -> Any:
        posted = json.loads(self.body)
        prompt, prompt_id = posted["prompt"], posted["prompt_id"]
        faults = {number: _fault(node, name, file) for number, node, name, file in self._missing_files(prompt)}
        if faults:
            error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
            return {"error": error | {"details": "", "extra_info": {}}, "node_errors": faults}, 400
        self.fake.prompts[prompt_id] = prompt
        self.fake.pending.append(prompt_id)
        self.fake.longest_queue = max(self.fake.longest_queue, len(self.fake.pending) + len(self.fake.running))
        ignored = {"99": _fault({"class_type": "PreviewImage"}, "images", "nothing")} if self.fake.partly else {}
        return {"prompt_id": prompt_id, "number": 0, "node_errors": ignored}

    def _missing_files(self, prompt: Prompt) -> Iterator[tuple[str, dict[str, Any], str, str]]:
        for number, node in prompt.items():
            name = LOADERS.get(node["class_type"])
            if name and node["inputs"][name] not in self.fake.inputs:
                yield number, node, name, node["inputs"][name]

    def _delete(self) -> Any:
        self.fake.pending = [id for id in self.fake.pending if id not in json.loads(self.body)["delete"]]
        return b""

    def _interrupt(self) -> Any:
        prompt_id = json.loads(self.body)["prompt_id"]
        if prompt_id in self.fake.running:
            self.fake.end(prompt_id, interrupted=True)
        return b""


def _fault(node: dict[str, Any], name: str, file: str) -> dict[str, Any]:
    """What validation says of a file that is not there."""
    fault = {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": f"{name} - Invalid file: {file}",
        "extra_info": {"input_name": name},
    }
    return {"errors": [fault], "dependent_outputs": [], "class_type": node["class_type"]}


def result_name(prompt: Prompt) -> str:
    """The last part of what a prompt's result is called."""
    name: str = prompt[id_of(prompt, SAVER)]["inputs"]["filename_prefix"].rpartition("/")[2]
    return name


@contextmanager
def fake_comfy() -> Iterator[FakeComfy]:
    """A running stand-in, gone afterwards."""
    fake = FakeComfy()
    fake.start()
    try:
        yield fake
    finally:
        fake.kill()
