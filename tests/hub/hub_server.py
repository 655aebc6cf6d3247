"""A stand-in for the Hugging Face Hub on a local port: what push and pull speak of its protocol.

Requests and answers as huggingface_hub 2.4 sends and reads them with HF_HUB_DISABLE_XET=1: create,
preupload, LFS batch and upload, commit, tags, branches, refs, tree, resolve. Faults can be laid in
the way of requests.
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WRITE, READ = "hf_may_write", "hf_may_read"


@dataclass
class Repository:
    """Commits are whole trees: path to bytes, by commit id."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {"0" * 40: {}}
    )
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    tags: dict[str, str] = field(default_factory=dict)

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit id names."""
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)


@dataclass
class Fault:
    """What happens to the next `times` requests of `method` whose path holds `part`.

    A status, or 0 to hang up.
    """

    method: str
    part: str
    status: int
    times: int = 1


class HubServer(ThreadingHTTPServer):
    """The server; `with HubServer() as hub` serves until left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        # what is sent in the place of files
        self.spoiled: dict[str, bytes] = {}
        self.nonsense: bytes | None = (
            None  # what is sent in the place of answers of the API
        )
        self._thread = threading.Thread(
            target=self.serve_forever,
            kwargs={"poll_interval": 0.05},
            daemon=True,
        )
        self._thread.start()

    def __exit__(self, *details: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def fault(self, method: str, path: str) -> int | None:
        """The fault that lies in the way of a request."""
        for fault in self.faults:
            if fault.times and fault.method == method and fault.part in path:
                fault.times -= 1
                return fault.status
        return None


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        path = unquote(url.path)
        self.body = self.rfile.read(
            int(self.headers.get("Content-Length") or 0)
        )
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        self.server.requests.append(f"{self.command} {path}")
        fault = self.server.fault(self.command, path)
        if fault == 0:
            self.close_connection = True
            self.connection.close()
        elif self.server.nonsense is not None and path.startswith("/api/"):
            self._answer(self.server.nonsense)
        elif fault:
            self._answer({"error": HTTPStatus(fault).phrase}, fault)
        else:
            self._route(path.strip("/").split("/"))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - as http.server has it

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, document: Any, status: int = 200, **headers: str) -> None:
        data = (
            document
            if isinstance(document, bytes)
            else json.dumps(document).encode()
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _allowed(self, *, write: bool) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix(
            "Bearer "
        )
        if token == WRITE or (token == READ and not write):
            return True
        if token == READ:
            self._answer({"error": "this token is read-only"}, 403)
        else:
            self._answer({"error": "Invalid username or password."}, 401)
        return False

    def _route(self, parts: list[str]) -> None:
        if parts[0] == "blob":
            self._blob(parts[1])
        elif parts[:3] == ["api", "repos", "create"]:
            self._create()
        elif parts[:2] == ["api", "whoami-v2"]:
            if self._allowed(write=False):
                role = (
                    "read" if READ in self.headers["Authorization"] else "write"
                )
                token = {"displayName": "of the lab", "role": role}
                self._answer(
                    {
                        "type": "user",
                        "name": "lab",
                        "orgs": [],
                        "auth": {"accessToken": token},
                    }
                )
        elif parts[:2] == ["api", "validate-yaml"]:
            self._answer({"errors": [], "warnings": []})
        elif parts[:2] == ["api", "datasets"]:
            self._api("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "datasets" and "resolve" in parts:
            self._resolve("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        elif parts[0] == "datasets" and parts[-1] == "batch":
            self._batch()
        else:
            self._answer({"error": "not found"}, 404)

    def _create(self) -> None:
        if not self._allowed(write=True):
            return
        wanted = json.loads(self.body)
        name = (
            f"{wanted['organization']}/{wanted['name']}"
            if wanted.get("organization")
            else wanted["name"]
        )
        url = f"{self.server.url}/datasets/{name}"
        if name in self.server.repositories:
            self._answer(
                {"error": "You already created this dataset repo", "url": url},
                409,
            )
            return
        private = (
            bool(wanted.get("private")) or wanted.get("visibility") == "private"
        )
        self.server.repositories[name] = Repository(private)
        self._answer({"url": url, "name": name, "id": name})

    def _api(self, name: str, rest: list[str]) -> None:
        repository = self.server.repositories.get(name)
        if repository is None:
            self._answer(
                {"error": "Repository not found"},
                404,
                X_Error_Code="RepoNotFound",
            )
            return
        if not self._allowed(write=self.command != "GET"):
            return
        what = rest[0] if rest else "revision"
        argument = rest[1] if len(rest) > 1 else "main"
        {
            "preupload": self._preupload,
            "commit": self._commit,
            "tag": self._tag,
            "branch": self._branch,
            "refs": self._refs,
            "tree": self._tree,
            "revision": self._revision,
        }[what](name, repository, argument)

    def _no_revision(self, revision: str) -> None:
        self._answer(
            {"error": f"Invalid rev id: {revision}"},
            404,
            X_Error_Code="RevisionNotFound",
        )

    def _preupload(
        self, _name: str, _repository: Repository, _revision: str
    ) -> None:
        files = json.loads(self.body)["files"]
        modes = {
            file["path"]: "lfs"
            if file["path"].endswith((".mp4", ".parquet"))
            else "regular"
            for file in files
        }
        self._answer(
            {
                "files": [
                    {"path": path, "uploadMode": mode, "shouldIgnore": False}
                    for path, mode in modes.items()
                ]
            }
        )

    def _batch(self) -> None:
        if not self._allowed(write=True):
            return
        objects = []
        for item in json.loads(self.body)["objects"]:
            known = item["oid"] in self.server.blobs
            link = {"href": f"{self.server.url}/blob/{item['oid']}"}
            objects.append(
                item
                if known
                else {**item, "actions": {"upload": link, "verify": link}}
            )
        self._answer({"transfer": "basic", "objects": objects})

    def _blob(self, oid: str) -> None:
        if self.command == "PUT":
            assert hashlib.sha256(self.body).hexdigest() == oid
            self.server.blobs[oid] = self.body
        self._answer({})

    def _commit(self, name: str, repository: Repository, revision: str) -> None:
        tree = dict(repository.commits[repository.branches[revision]])
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                tree[value["path"]] = self.server.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del tree[value["path"]]
        oid = f"{len(repository.commits):040x}"
        repository.commits[oid] = tree
        repository.branches[revision] = oid
        url = f"{self.server.url}/datasets/{name}/commit/{oid}"
        self._answer(
            {
                "success": True,
                "commitOid": oid,
                "commitUrl": url,
                "hookOutput": "",
            }
        )

    def _tag(self, _name: str, repository: Repository, argument: str) -> None:
        if self.command == "DELETE":
            if repository.tags.pop(argument, None) is None:
                self._no_revision(argument)
                return
        else:
            tag = json.loads(self.body)["tag"]
            commit = repository.find(argument)
            if tag in repository.tags or commit is None:
                self._answer({"error": "tag exists, or no such commit"}, 409)
                return
            repository.tags[tag] = commit
        self._answer({})

    def _branch(self, _name: str, repository: Repository, branch: str) -> None:
        if branch in repository.branches:
            self._answer({"error": "branch exists"}, 409)
            return
        repository.branches[branch] = repository.branches["main"]
        self._answer({})

    def _refs(self, _name: str, repository: Repository, _revision: str) -> None:
        def listed(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
            return [
                {"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": c}
                for n, c in names.items()
            ]

        self._answer(
            {
                "branches": listed("heads", repository.branches),
                "tags": listed("tags", repository.tags),
                "converts": [],
            }
        )

    def _tree(self, _name: str, repository: Repository, revision: str) -> None:
        commit = repository.find(revision)
        if commit is None:
            self._no_revision(revision)
            return
        self._answer(
            [
                _entry(path, data)
                for path, data in repository.commits[commit].items()
            ]
        )

    def _revision(
        self, name: str, repository: Repository, revision: str
    ) -> None:
        commit = repository.find(revision)
        if commit is None:
            self._no_revision(revision)
            return
        siblings = [
            _sibling(path, data)
            for path, data in repository.commits[commit].items()
        ]
        self._answer(
            {
                "_id": name,
                "id": name,
                "sha": commit,
                "tags": [],
                "siblings": siblings,
            }
        )

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.server.repositories[name]
        commit = repository.find(revision)
        data = repository.commits[commit].get(path) if commit else None
        if data is None:
            self._answer(
                {"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound"
            )
            return
        data = self.server.spoiled.get(path, data)
        start = int(
            (self.headers.get("Range") or "bytes=0-")
            .removeprefix("bytes=")
            .split("-")[0]
        )
        self._answer(
            data[start:],
            206 if start else 200,
            X_Repo_Commit=str(commit),
            ETag=f'"{hashlib.sha256(data).hexdigest()}"',
            Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}",
        )


def _sibling(path: str, data: bytes) -> dict[str, Any]:
    entry = _entry(path, data)
    sibling = {"rfilename": path, "size": len(data), "blobId": entry["oid"]}
    if "lfs" in entry:
        lfs = entry["lfs"]
        sibling["lfs"] = {
            "size": lfs["size"],
            "sha256": lfs["oid"],
            "pointerSize": 130,
        }
    return sibling


def _entry(path: str, data: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(
        b"blob %d\0" % len(data) + data, usedforsecurity=False
    ).hexdigest()
    entry: dict[str, Any] = {
        "type": "file",
        "oid": oid,
        "size": len(data),
        "path": path,
    }
    if path.endswith((".mp4", ".parquet")):
        entry["lfs"] = {
            "oid": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "pointerSize": 130,
        }
    return entry
