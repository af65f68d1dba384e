"""Raw HTTP to OpenSearch: bytes in, bytes out, streamed both ways. Knows no JSON and no index.

What it is for: everything that passes through. Our own requests go by opensearch-py (`connection.py`).
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.errors import StartError, StoreUnavailable

NO_TIMEOUT = urllib3.Timeout(connect=5.0, read=None)
#: A kept-alive connection may be closed under us; a read is then sent once more.
ONCE_MORE = urllib3.Retry(total=1, redirect=0, status=0, other=0, allowed_methods=frozenset({"GET", "HEAD"}))


@dataclass(frozen=True)
class Endpoint:
    """Where OpenSearch is, and the service's own account there.

    `url` holds no user and no password: `Endpoint.at` takes them out.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    insecure: bool = False

    @classmethod
    def at(
        cls,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        ca_file: Path | None = None,
        insecure: bool = False,
    ) -> Endpoint:
        """Return the endpoint at `url`, an account in the URL being used if none is given."""
        parts = urlsplit(url)
        address = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return cls(
            url=f"{parts.scheme}://{address}{port}{parts.path.rstrip('/')}",
            username=username or (unquote(parts.username) if parts.username else None),
            password=password or (unquote(parts.password) if parts.password else None),
            ca_file=ca_file,
            insecure=insecure,
        )

    @property
    def authorization(self) -> dict[str, str]:
        """The header that the service's own account needs; empty without an account."""
        if self.username is None:
            return {}
        account = f"{self.username}:{self.password or ''}".encode()  # OpenSearch reads UTF-8, urllib3 writes Latin-1
        return {"authorization": f"Basic {base64.b64encode(account).decode('ascii')}"}

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return how to verify OpenSearch's certificate, or None for http.

        Raises:
            StartError: the CA file cannot be used.
        """
        if not self.url.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except OSError as error:
            hint = "Name a file of certificates in PEM with --ca-file."
            raise StartError(
                f"the CA file {self.ca_file} cannot be used: {error.strerror or error}", hint=hint
            ) from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class ByteStream(Protocol):
    """A body that is read piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


@dataclass(frozen=True)
class Reply:
    """A whole answer of OpenSearch."""

    status: int
    headers: list[tuple[str, str]]
    payload: bytes

    @property
    def content_type(self) -> str:
        """The media type, empty if there is none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")


class _Waiting(threading.local):
    """What may cut this thread's wait for an answer short."""

    cancellation: Cancellation | None = None


_waiting = _Waiting()


def _cuttable(connection: HTTPConnection, getresponse: Callable[[], urllib3.HTTPResponse]) -> urllib3.HTTPResponse:
    """Wait for an answer unless that is cancelled; OpenSearch stops a search that nobody awaits."""
    if _waiting.cancellation is None:
        return getresponse()

    sock = connection.sock  # which the connection forgets once it has an answer that is the last

    def cut() -> None:
        with contextlib.suppress(OSError):  # below TLS, which another thread is reading
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    with _waiting.cancellation.stopped_by(cut):
        return getresponse()


class _Connection(HTTPConnection):
    """A connection over http whose wait for an answer can be cut short."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """Wait for the answer."""
        return _cuttable(self, super().getresponse)


class _SecureConnection(HTTPSConnection):
    """Likewise over https."""

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """Wait for the answer."""
        return _cuttable(self, super().getresponse)


class Upstream:
    """A pool of connections to one OpenSearch."""

    def __init__(self, endpoint: Endpoint, *, connections: int = 64) -> None:
        self.endpoint = endpoint
        parts = urlsplit(endpoint.url)
        self._prefix = parts.path
        security = {"ssl_context": context} if (context := endpoint.ssl_context()) else {}
        self._pool = urllib3.connection_from_url(
            f"{parts.scheme}://{parts.netloc}", maxsize=connections, block=False, timeout=NO_TIMEOUT, **security
        )
        self._pool.ConnectionCls = _SecureConnection if parts.scheme == "https" else _Connection

    @contextlib.contextmanager
    def _unavailable_as_error(self) -> Iterator[None]:
        try:
            yield
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(f"OpenSearch at {self.endpoint.url} cannot be reached: {_cause(error)}") from error

    def open(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | ByteStream | Iterable[bytes] | None = None,
        *,
        chunked: bool = False,
    ) -> urllib3.response.BaseHTTPResponse:
        """Send a request and return the answer with its body unread; the caller releases it.

        `target` is the raw path with its query. Redirects are not followed and nothing is decoded.

        Raises:
            StoreUnavailable: OpenSearch cannot be reached.
        """
        with self._unavailable_as_error():
            return self._pool.urlopen(
                method,
                self._prefix + target,
                body=body,  # type: ignore[arg-type]  # urllib3 asks less of a stream than its types say
                headers=urllib3.HTTPHeaderDict(headers),
                chunked=chunked,
                redirect=False,
                retries=ONCE_MORE if body is None or isinstance(body, bytes) else False,
                preload_content=False,
                decode_content=False,
            )

    def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        cancellation: Cancellation | None = None,
    ) -> Reply:
        """Send a request and return the whole answer. A lost kept-alive connection is tried once more for a read.

        Raises:
            StoreUnavailable: OpenSearch cannot be reached, or `cancellation` cut the connection.
        """
        _waiting.cancellation = cancellation
        try:
            response = self.open(method, target, headers, body)
        finally:
            _waiting.cancellation = None
        with self._unavailable_as_error():
            payload = response.read(decode_content=True)
        response.release_conn()
        return Reply(response.status, list(response.headers.items()), payload)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.close()


def _cause(error: BaseException) -> str:
    """Return the innermost sentence: urllib3 wraps what the system said."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    return str(inner) or type(inner).__name__
