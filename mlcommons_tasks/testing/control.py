"""Calls of the control API, `/_emulator/`, in one namespace. Knows HTTP and errors, not what the calls mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

NAMESPACE_HEADER = "X-Emulator-Namespace"
TOKEN_HEADER = "X-Emulator-Token"  # noqa: S105 - the name of a header
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PATIENCE_S = 60.0
RETRIES = 2  #: of a connection that could not be made; nothing was sent by then


class EmulatorError(Exception):
    """The service refused a control call, or is none; `status` is HTTP's, None if nothing answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


class Control:
    """The control API of the service at `url`, in a namespace; None is the main one.

    `ca_file` has the certificates to trust for an https URL; without it the system's.
    """

    def __init__(
        self, url: str, namespace: str | None = None, token: str | None = None, ca_file: str | None = None
    ) -> None:
        if namespace is not None and not NAME.fullmatch(namespace):
            raise ValueError(f"a namespace's name is of a-z, 0-9, _ and -, 63 at most, not {namespace!r}")
        import urllib3

        self.service_url = url.rstrip("/")
        self.namespace = namespace
        self._headers = {TOKEN_HEADER: token} if token else {}
        if namespace is not None:
            self._headers[NAMESPACE_HEADER] = namespace
        retries = urllib3.Retry(RETRIES, read=0, redirect=0, status=0, other=0)
        self._pool = urllib3.PoolManager(retries=retries, ca_certs=ca_file)

    @property
    def url(self) -> str:
        """The address at which every request belongs to the namespace."""
        return self.service_url if self.namespace is None else f"{self.service_url}/_emulator/in/{self.namespace}"

    def get(self, *path: str, **parameters: Any) -> Any:
        """Read; `path` are parts below `/_emulator/`, of which None is left out in `parameters`."""
        return self._call("GET", path, parameters=parameters)

    def post(self, *path: str, body: Any = None, **parameters: Any) -> Any:
        """Send a body."""
        return self._call("POST", path, body, parameters)

    def put(self, *path: str, body: Any) -> Any:
        """Set something."""
        return self._call("PUT", path, body)

    def delete(self, *path: str) -> Any:
        """Remove something."""
        return self._call("DELETE", path)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _call(
        self, method: str, path: tuple[str, ...], body: Any = None, parameters: Mapping[str, Any] | None = None
    ) -> Any:
        import urllib3

        target = "/".join(["/_emulator", *(quote(part, safe="") for part in path)])
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        query = "&".join(f"{name}={quote(_text(value), safe='')}" for name, value in given.items())
        headers = dict(self._headers)
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            reply = self._pool.request(
                method,
                f"{self.service_url}{target}{'?' if query else ''}{query}",
                body=payload,
                headers=headers,
                timeout=PATIENCE_S,
            )
        except urllib3.exceptions.HTTPError as error:
            raise EmulatorError(f"{method} {target}: the service does not answer: {error}") from error
        answer = _json(reply.data)
        if not 200 <= reply.status < 300:
            raise EmulatorError(f"{method} {target}: {reply.status} {_reason(answer)}", reply.status)
        return answer


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload) if payload else None
    except ValueError:
        return payload.decode("utf-8", "replace")


def _reason(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, Mapping) else answer
    return str(error.get("reason") if isinstance(error, Mapping) else error)
