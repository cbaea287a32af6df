"""A Hub on this machine: what `huggingface_hub` and `datasets` ask of it, and faults.

Two ports, as on the real Hub: the site, and the storage, which must never see a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WEIGHTS = "model.safetensors"
LARGE = (".safetensors", ".parquet")  # files that the storage has


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> path -> content
    refs: dict[str, str] = field(default_factory=dict)  # branch or tag -> commit

    def commit(self, files: dict[str, bytes], revision: str = "main") -> str:
        """Add files on top of what the revision holds; its new commit."""
        content = {**self.commits.get(self.refs.get(revision, ""), {}), **files}
        text = json.dumps([len(self.commits), sorted((p, sha256(b)) for p, b in content.items())])
        name = hashlib.sha1(text.encode()).hexdigest()
        self.commits[name] = content
        self.refs[revision] = name
        return name


class LocalHub:
    """The server and its state. Faults are set by tests and used up by requests."""

    def __init__(self) -> None:
        self.site = _server(self, is_storage=False)
        self.storage = _server(self, is_storage=True)
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}  # sha256 -> content
        self.tokens: dict[str, str] = {"hf_writer": "user"}  # token -> user
        self.requests: list[Request] = []
        self.damaged = False  # downloads have a wrong last byte
        self.plain = False  # large files are stored in Git, without a sha256
        self.failing: dict[str, int] = {}  # method -> status of the next request, once

    def close(self) -> None:
        for server in (self.site, self.storage):
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.site.server_port}"

    def repository(self, name: str, weights: bytes | None = None, **options: Any) -> Repository:
        repository = self.repositories[name] = Repository(**options)
        if weights is not None:
            repository.commit({WEIGHTS: weights})
        return repository

    def downloads(self) -> list[Request]:
        """The requests for bytes of large files."""
        return [r for r in self.requests if r.method == "GET" and r.path.startswith("/large/")]


def _server(hub: LocalHub, is_storage: bool) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "is_storage": is_storage})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Refusal(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        about = {"X-Error-Code": code, "X-Error-Message": message, **headers}
        self.status, self.headers = status, {name: text for name, text in about.items() if text}


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    is_storage: bool
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        split = urlsplit(self.path)
        path = unquote(split.path)
        self.query = parse_qs(split.query)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_ = Request(self.command, path, headers)
        self.body = self.rfile.read(int(headers.get("content-length", 0)))
        with self.hub.lock:
            self.hub.requests.append(self.request_)
            failing = self.hub.failing.pop(f"{self.command} {path.split('/')[-1]}", None)
        try:
            if failing is not None:
                raise _Refusal(failing)
            for pattern, method in _STORAGE if self.is_storage else _SITE:
                match = re.fullmatch(pattern, f"{self.command} {path}")
                if match:
                    getattr(self, method)(*match.groups())
                    return
            raise _Refusal(404)
        except _Refusal as refusal:
            self._answer(refusal.status, b'{"error": "refused"}', refusal.headers)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    @property
    def _user(self) -> str | None:
        given = self.request_.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given not in self.hub.tokens:
            raise _Refusal(401, message="Invalid credentials in Authorization header")
        return self.hub.tokens.get(given)

    def _writer(self) -> str:
        user = self._user
        if user is None:
            raise _Refusal(401, message="Invalid username or password.")
        return user

    def _repository(self, name: str) -> Repository:
        user = self._user
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and user is None):
            # As the Hub does: who is not known is not told what there is.
            raise _Refusal(401 if user is None else 404, "RepoNotFound", "Repository not found")
        if repository.gated and user is None:
            raise _Refusal(401, "GatedRepo", "Access to model is restricted")
        return repository

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self._repository(name)
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise _Refusal(404, "RevisionNotFound", "Invalid rev id: " + revision)
        return commit, repository.commits[commit]

    def _resolve(self, name: str, revision: str, path: str) -> None:
        commit, files = self._files(name, revision)
        if path not in files:
            raise _Refusal(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        data = files[path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if self.hub.plain or not path.endswith(LARGE):
            etag = f'"{git_sha1(data)}"'
            self._answer(200, data, headers | {"ETag": etag, "X-Linked-Size": str(len(data))})
            return
        oid = sha256(data)
        self.hub.large[oid] = data
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{oid}"'}
        location = f"http://127.0.0.1:{self.hub.storage.server_port}/large/{oid}?signature=s"
        self._answer(302, b"", headers | {"Location": location})

    def _large(self, oid: str) -> None:
        data = self.hub.large[oid]
        if self.hub.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request_.headers.get("range", ""))
        if not asked:
            self._answer(200, data)
            return
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        about = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        self._answer(206, data[start : end + 1], about)

    def _info(self, name: str, revision: str | None) -> None:
        commit, files = self._files(name, revision or "main")
        private = self.hub.repositories[name].private
        siblings = [{"rfilename": path} for path in files]
        about = {"_id": "1", "id": name, "modelId": name, "sha": commit, "private": private}
        self._json({**about, "siblings": siblings})

    def _tree(self, name: str, revision: str, folder: str | None) -> None:
        _, files = self._files(name, revision)
        inside = f"{folder}/" if folder else ""
        if inside and not any(path.startswith(inside) for path in files):
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        found = {path: data for path, data in files.items() if path.startswith(inside)}
        parents = {str(folder) for path in found for folder in PurePosixPath(path).parents}
        folders = sorted(f for f in parents if f != "." and f.startswith(inside))
        entries = [{"type": "directory", "oid": "0", "size": 0, "path": f} for f in folders]
        entries += [_entry(path, data) for path, data in found.items()]
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            entries = [e for e in entries if "/" not in e["path"].removeprefix(inside)]
        self._json(entries)

    def _paths(self, name: str, revision: str) -> None:
        _, files = self._files(name, revision)
        asked = parse_qs(self.body.decode()) if self.body[:1] != b"{" else json.loads(self.body)
        self._json([_entry(path, files[path]) for path in asked["paths"] if path in files])

    def _whoami(self) -> None:
        self._json({"type": "user", "name": self._writer(), "orgs": []})

    def _create(self) -> None:
        user = self._writer()
        asked = json.loads(self.body)
        owner = asked.get("organization") or user
        if owner != user:
            raise _Refusal(403, message=f"no rights to create a model under {owner}")
        name = f"{owner}/{asked['name']}"
        url = {"url": f"{self.hub.endpoint}/{name}", "name": name, "id": name}
        if name in self.hub.repositories:
            self._json({**url, "error": "You already created this model repo"}, 409)
            return
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repository(name, private=bool(private)).commit({".gitattributes": b""})
        self._json(url)

    def _branch(self, name: str, branch: str) -> None:
        self._writer()
        repository = self._repository(name)
        if branch in repository.refs:
            raise _Refusal(409)
        repository.refs[branch] = repository.refs["main"]
        self._json({})

    def _yaml(self) -> None:
        self._json({"errors": [], "warnings": []})

    def _preupload(self, name: str, revision: str) -> None:
        self._writer()
        _, existing = self._files(name, revision)
        files = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            is_large = path.endswith(LARGE)
            old = existing.get(path)
            oid = None if old is None else sha256(old) if is_large else git_sha1(old)
            mode = "lfs" if is_large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": files})

    def _batch(self, _name: str) -> None:
        self._writer()
        objects: list[dict[str, Any]] = []
        for asked in json.loads(self.body)["objects"]:
            known = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.large:
                href = f"http://127.0.0.1:{self.hub.storage.server_port}/large/{asked['oid']}"
                known["actions"] = {"upload": {"href": href}}
            objects.append(known)
        self._json({"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        if sha256(self.body) != oid:
            raise _Refusal(400)
        self.hub.large[oid] = self.body
        self._answer(200)

    def _commit(self, name: str, revision: str) -> None:
        self._writer()
        repository = self._repository(name)
        files: dict[str, bytes] = {}
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        commit = repository.commit(files, revision)
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        self._json({"success": True, "commitUrl": url, "commitOid": commit})


def _entry(path: str, data: bytes) -> dict[str, Any]:
    about: dict[str, Any] = {"oid": git_sha1(data), "size": len(data), "path": path}
    if path.endswith(LARGE):
        about["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 100}
    return {"type": "file", **about}


_DATA = r"(datasets/[\w.-]+/[\w.-]+)"
_NAME = r"([\w.-]+/[\w.-]+)"
_SITE = [
    (rf"(?:GET|HEAD) /{_DATA}/resolve/([^/]+)/(.+)", "_resolve"),
    (rf"GET /api/{_DATA}(?:/revision/([^/]+))?", "_info"),
    (rf"GET /api/{_DATA}/tree/([^/]+)(?:/(.+))?", "_tree"),
    (rf"POST /api/{_DATA}/paths-info/([^/]+)", "_paths"),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/([^/]+)/(.+)", "_resolve"),
    (rf"GET /api/models/{_NAME}(?:/revision/(.+))?", "_info"),
    (r"GET /api/whoami-v2", "_whoami"),
    (r"POST /api/repos/create", "_create"),
    (r"POST /api/validate-yaml", "_yaml"),
    (rf"POST /api/models/{_NAME}/branch/(.+)", "_branch"),
    (rf"POST /api/models/{_NAME}/preupload/(.+)", "_preupload"),
    (rf"POST /api/models/{_NAME}/commit/(.+)", "_commit"),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", "_batch"),
]
_STORAGE = [
    (r"GET /large/(\w+)", "_large"),
    (r"PUT /large/(\w+)", "_store"),
]
