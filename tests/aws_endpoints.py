"""AWS' endpoints for tests: moto, and a stub of the instance metadata service; tests/stubs/README.md has its edges."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
KEYS = {
    "AccessKeyId": "ASIAINVENTEDKEY00001",
    "SecretAccessKey": "role-wJalrXUtnFEMI/invented+",
    "Token": "session//invented==",
}


@dataclass
class Metadata:
    """What the stub answers, and what it was asked. ``role`` empty: the instance has none."""

    role: str = "node-role"
    keys: Mapping[str, str] = field(default_factory=lambda: KEYS)
    region: str = REGION
    asked: list[str] = field(default_factory=list)
    #: So many requests are refused first, as at boot.
    not_yet: int = 0

    def answer(self, method: str, path: str, token: str) -> tuple[int, str]:
        self.asked.append(f"{method} {path}")
        if self.not_yet > 0:
            self.not_yet -= 1
            return 503, ""
        if (method, path) == ("PUT", "/latest/api/token"):
            return 200, "token-invented"
        if token != "token-invented":
            return 401, ""
        roles = "/latest/meta-data/iam/security-credentials/"
        answers = {"/latest/meta-data/placement/region": self.region}
        if self.role:
            answers |= {roles: self.role, roles + self.role: json.dumps({"Code": "Success", **self.keys})}
        return (200, answers[path]) if path in answers else (404, "<html>not found</html>")


@dataclass(frozen=True)
class Endpoints:
    """Where both are, and the metadata that a test may change."""

    aws: str
    imds: str
    metadata: Metadata

    @property
    def environment(self) -> dict[str, str]:
        """What a node must have in its environment to ask here and not AWS."""
        return {"AWS_ENDPOINT_URL": self.aws, "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.imds}

    def client(self, service: str) -> Any:
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.aws, aws_access_key_id="x", aws_secret_access_key="x"
        )


@contextlib.contextmanager
def serve(address: str = "127.0.0.1", host: str = "") -> Iterator[Endpoints]:
    """Serve both at free ports of ``address``; nodes know it as ``host``."""
    metadata = Metadata()
    # What moto keeps is of the whole process.
    moto_api_backend.reset()
    moto = ThreadedMotoServer(address, 0, verbose=False)
    moto.start()
    imds = http.server.ThreadingHTTPServer((address, 0), _handler(metadata))
    threading.Thread(target=imds.serve_forever, daemon=True).start()
    try:
        port = moto.get_host_and_port()[1]
        name = host or address
        yield Endpoints(f"http://{name}:{port}", f"http://{name}:{imds.server_port}", metadata)
    finally:
        imds.shutdown()
        imds.server_close()
        moto.stop()


def _handler(metadata: Metadata) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def _answer(self, method: str) -> None:
            status, text = metadata.answer(method, self.path, self.headers.get("X-aws-ec2-metadata-token", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler
