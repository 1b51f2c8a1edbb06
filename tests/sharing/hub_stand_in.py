"""A small stand-in of the Hub's HTTP API on 127.0.0.1: what ``huggingface_hub`` calls to push, pull and look up data.

    POST /api/repos/create                    GET  /api/models/ID[/revision/REV]
    POST /api/models/ID/branch/REV            GET  /api/models/ID/tree/REV
    POST /api/validate-yaml                   HEAD, GET  /ID/resolve/REV/FILE
    POST /api/models/ID/preupload/REV         PUT  /lfs/OID
    POST /api/models/ID/commit/REV            POST /ID.git/info/lfs/objects/batch
    GET  /api/datasets/ID                     GET  /api/KIND/ID/auth-check
                                              GET  /datasets/ID/resolve/REV/FILE

Weights go the way of large files (LFS), texts into the commit itself, as on the real one. Xet, which would leave the
machine, must be off.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN = "hf_good"
READ_ONLY = "hf_read"
Files = dict[str, bytes]


@dataclass
class Repo:
    """One repository: for each branch its commits, oldest first."""

    private: bool = False
    gated: bool = False
    kind: str = "model"
    branches: dict[str, list[Files]] = field(default_factory=lambda: {"main": [{".gitattributes": b""}]})

    def files(self, revision: str) -> Files | None:
        commits = {sha(files): files for branch in self.branches.values() for files in branch}
        return self.branches[revision][-1] if revision in self.branches else commits.get(revision)


@dataclass
class Hub:
    """The state of the stand-in.

    Attributes:
        repos: by ``org/name``.
        requests: method and path of all that was asked.
        status: answer everything with this error, to try a Hub that is down.
        store: address that archives are sent on to, as the Hub does with large files; here if there is none.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: Files = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    status: int | None = None
    store: str = ""
    endpoint: str = ""


def sha(files: Files) -> str:
    """The name of a commit: that of its contents."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def lead_to(hub: Hub, monkeypatch: pytest.MonkeyPatch, home: Path, token: str = TOKEN) -> None:
    """Makes the stand-in the Hub that ``huggingface_hub`` knows, with no way off this machine.

    Args:
        hub: that runs.
        monkeypatch: of the test.
        home: a folder without a token.
        token: of a user who is logged in; empty for nobody.
    """
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "no token"))
    monkeypatch.setenv("HF_TOKEN", token)


@contextmanager
def run_hub() -> Iterator[Hub]:
    """Runs the stand-in on a free port."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        self._serve()

    do_GET = do_HEAD = do_PUT = do_POST

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length or "Transfer-Encoding" not in self.headers else self._chunks()
        self.state.requests.append(f"{self.command} {path}")
        if self.state.status is not None:
            return self._fail(self.state.status, "the Hub is down")
        for pattern, name in _ROUTES:
            if (match := re.fullmatch(pattern, f"{self.command} {path}")) is not None:
                return getattr(self, name)(body, *match.groups())
        return self._fail(404, f"the stand-in knows no {self.command} {path}")

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    # Answers

    def _send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _fail(self, status: int, message: str, code: str = "", **more: str) -> None:
        content = json.dumps({"error": message, **more}).encode()
        self._send(status, content, Content_Type="application/json", X_Error_Message=message, X_Error_Code=code)

    @property
    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_write(self) -> bool:
        if self._token not in (TOKEN, READ_ONLY):
            self._fail(401, "Invalid credentials in Authorization header")
        elif self._token == READ_ONLY:
            self._fail(403, "you have no right to write here")
        return self._token == TOKEN

    def _files(self, repo: str, revision: str, kind: str = "model") -> Files | None:
        found = self.state.repos.get(repo)
        if found is None or found.kind != kind or (found.private and self._token != TOKEN):
            self._fail(404, "Repository not found", "RepoNotFound")
            return None
        files = found.files(revision)
        if files is None:
            self._fail(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return files

    # Routes

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        if not self._may_write():
            return None
        if repo in self.state.repos:
            return self._fail(409, "You already created this model repo", url=f"{self.state.endpoint}/{repo}")
        private = asked.get("private", False) or asked.get("visibility") == "private"
        self.state.repos[repo] = Repo(private=private)
        self._json({"url": f"{self.state.endpoint}/{repo}", "name": repo})
        return None

    def _branch(self, body: bytes, repo: str, branch: str) -> None:
        if not self._may_write():
            return None
        branches = self.state.repos[repo].branches
        if branch in branches:
            return self._fail(409, "Reference already exists")
        branches[branch] = list(branches["main"])
        self._json({})
        return None

    def _validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata"}]
        self._json({"errors": errors, "warnings": []}) if not errors else self._send(
            400, json.dumps({"errors": errors, "error": "bad card"}).encode(), Content_Type="application/json"
        )

    def _preupload(self, body: bytes, repo: str, revision: str) -> None:
        if self._may_write() and self._files(repo, revision) is not None:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self._json({"files": modes})

    def _lfs_batch(self, body: bytes, repo: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.state.endpoint}/lfs/{one['oid']}", "header": {}}}}
            for one in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _lfs_put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.state.blobs[oid] = body
        self._json({})

    def _commit(self, body: bytes, repo: str, revision: str) -> None:
        if not self._may_write() or (files := self._files(repo, revision)) is None:
            return
        files = dict(files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.state.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.state.repos[repo].branches[revision].append(files)
        self._json({"commitUrl": f"{self.state.endpoint}/{repo}/commit/{sha(files)}", "commitOid": sha(files)})

    def _info(self, body: bytes, repo: str, revision: str | None = None, kind: str = "model") -> None:
        if (files := self._files(repo, revision or "main", kind)) is not None:
            siblings = [_sibling(name, content, "blobs" in self.path) for name, content in files.items()]
            gated = "manual" if self.state.repos[repo].gated else False
            found = {"id": repo, "sha": sha(files), "siblings": siblings, "tags": [], "gated": gated}
            self._json(found | ({"modelId": repo} if kind == "model" else {}))

    def _dataset_info(self, body: bytes, repo: str, revision: str | None = None) -> None:
        self._info(body, repo, revision, "dataset")

    def _auth_check(self, body: bytes, kind: str, repo: str) -> None:
        if self._files(repo, "main", kind) is None:
            return None
        if self.state.repos[repo].gated and self._token != TOKEN:
            return self._fail(403, "Access to this repository is restricted", "GatedRepo")
        return self._json({})

    def _tree(self, body: bytes, repo: str, revision: str) -> None:
        if (files := self._files(repo, revision)) is not None:
            self._json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
            )

    def _resolve(self, body: bytes, kind: str | None, repo: str, revision: str, name: str) -> None:
        if (files := self._files(repo, revision, "dataset" if kind else "model")) is None:
            return None
        if name not in files:
            return self._fail(404, "Entry not found", "EntryNotFound")
        if self.state.store and name.endswith(".zip"):
            return self._send(302, b"", Location=f"{self.state.store}/{name}")
        etag = hashlib.sha1(files[name]).hexdigest()
        self._send(200, files[name], ETag=f'"{etag}"', X_Repo_Commit=sha(files))
        return None


def _sibling(name: str, content: bytes, with_blobs: bool) -> dict[str, Any]:
    if not with_blobs:
        return {"rfilename": name}
    blob = {"rfilename": name, "size": len(content), "blobId": hashlib.sha1(content).hexdigest()}
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return blob | ({"lfs": lfs} if name.endswith((".zip", ".safetensors")) else {})


_ID, _REV = r"([\w.-]+/[\w.-]+)", r"([^/]+)"
_ROUTES = [
    (r"POST /api/repos/create", "_create"),
    (rf"POST /api/models/{_ID}/branch/{_REV}", "_branch"),
    (r"POST /api/validate-yaml", "_validate"),
    (rf"POST /api/models/{_ID}/preupload/{_REV}", "_preupload"),
    (rf"POST /{_ID}\.git/info/lfs/objects/batch", "_lfs_batch"),
    (r"PUT /lfs/(\w+)", "_lfs_put"),
    (rf"POST /api/models/{_ID}/commit/{_REV}", "_commit"),
    (rf"GET /api/models/{_ID}(?:/revision/{_REV})?", "_info"),
    (rf"GET /api/models/{_ID}/tree/{_REV}", "_tree"),
    (rf"GET /api/datasets/{_ID}(?:/revision/{_REV})?", "_dataset_info"),
    (rf"GET /api/(model|dataset)s/{_ID}/auth-check", "_auth_check"),
    (rf"(?:GET|HEAD) /(datasets/)?{_ID}/resolve/{_REV}/(.+)", "_resolve"),
]
