"""A Hub on loopback: the few HTTP calls by which huggingface_hub creates, pushes and pulls a model, kept in memory."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml


class LoopbackHub:
    """
    Serves on a free port while it is open as a context. `repos` maps a repository's id to its commits, each of which
    is a whole snapshot `{path: content}`; `main` is the last one.
    """

    def __init__(self) -> None:
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo_id: str) -> dict[str, bytes]:
        """What `main` of a repository holds."""
        return self.repos[repo_id][-1]

    def snapshot(self, repo_id: str, revision: str) -> dict[str, bytes] | None:
        commits = self.repos[repo_id]
        if revision == "main":
            return commits[-1]
        return commits[int(revision, 16)] if int(revision, 16) < len(commits) else None

    def commit(self, repo_id: str, lines: list[dict[str, Any]]) -> str:
        files = dict(self.files(repo_id))
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        self.repos[repo_id].append(files)
        return self.head(repo_id)

    def head(self, repo_id: str) -> str:
        return f"{len(self.repos[repo_id]) - 1:040x}"


def card_errors(content: str) -> list[str]:
    """What the Hub asks of a card's `model-index`: every result says its task, its dataset, its metrics and values."""
    metadata = yaml.safe_load(content.split("---")[1])
    results = [result for model in metadata.get("model-index", []) for result in model["results"]]
    required = {"task": ("type",), "dataset": ("type", "name")}
    missing = [
        f"{part}.{field} is required"
        for result in results
        for part, fields in required.items()
        for field in fields
        if not result.get(part, {}).get(field)
    ]
    metrics = [metric for result in results for metric in result.get("metrics") or [{}]]
    return missing + [
        f"metrics need type and value: {metric}" for metric in metrics if {"type", "value"} - set(metric)
    ]


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path == "/api/validate-yaml":
            errors = card_errors(json.loads(body)["content"])
            self._reply(400 if errors else 200, {"errors": errors, "warnings": []})
        elif path == "/api/repos/create":
            wanted = json.loads(body)
            repo_id = f"{wanted.get('organization') or 'user'}/{wanted['name']}"
            exists = repo_id in self.hub.repos
            self.hub.repos.setdefault(repo_id, [{}])
            self._reply(409 if exists else 200, {"url": f"{self.hub.endpoint}/{repo_id}"})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/[^/]+", path):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            self._reply(200, {"files": files})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            sha = self.hub.commit(match[1], [json.loads(line) for line in body.splitlines()])
            url = f"{self.hub.endpoint}/{match[1]}/commit/{sha}"
            self._reply(200, {"success": True, "commitUrl": url, "commitOid": sha, "hookOutput": ""})
        else:
            self._reply(404, {"error": f"the loopback Hub knows no POST {path}"})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/api/whoami-v2":
            self._reply(200, {"type": "user", "name": "user", "orgs": []})
        elif match := re.fullmatch(
            r"/(?:api/models/)?([^/]+/[^/]+)(?:/(resolve|revision|tree)/([^/]+)(?:/(.+))?)?", path
        ):
            repo_id, view, revision, name = match.groups()
            if repo_id not in self.hub.repos:
                self._reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            elif (files := self.hub.snapshot(repo_id, revision or "main")) is None:
                self._reply(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            else:
                self._view(repo_id, view, revision, name, files)
        else:
            self._reply(404, {"error": f"the loopback Hub knows no GET {path}"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def _view(self, repo_id: str, view: str | None, revision: str, name: str | None, files: dict[str, bytes]) -> None:
        sha = self.hub.head(repo_id) if revision in (None, "main") else revision
        if view == "resolve" and name in files:
            self._reply(200, files[name], {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha1(files[name]).hexdigest()}"'})
        elif view == "tree" and name is None:
            self._reply(200, [{"type": "file", "path": p, "size": len(c), "oid": sha} for p, c in files.items()])
        elif view in (None, "revision"):
            self._reply(200, {"id": repo_id, "sha": sha, "siblings": [{"rfilename": path} for path in files]})
        else:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}
            self._reply(404, {"error": "Entry not found"}, headers)

    def _reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keeps the test's output clean."""
