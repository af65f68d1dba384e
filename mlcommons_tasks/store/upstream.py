"""Raw HTTP to OpenSearch: bytes in, bytes out, streamed both ways. Knows no JSON and no index.

What it is for: everything that passes through. Our own requests go by opensearch-py (`connection.py`).
Several addresses take turns; one that cannot be reached is left alone for a while. No write is ever sent twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.errors import StartError, StoreTooSlow, StoreUnavailable
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.hosts import Host, Hosts
from mlcommons_tasks.store.http1 import Answer, Body, Broken, Connection
from mlcommons_tasks.wire.content_encoding import decoded

TIMEOUT_S = 120.0
AUTHINFO = "/_plugins/_security/authinfo"  #: where the security plugin says who asks
USUAL = -1.0  #: stands for the time-out that an upstream was given
LONGEST_ANSWER = 1024 * 1024 * 1024
#: What may be sent again: it changes nothing.
READS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


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


class Upstream:
    """Pools of connections to one OpenSearch.

    What is sent in a caller's name goes by `for_callers`: another pool, where the certificate that these connections
    show is an account of the service's, with which no caller may act. `identity_headers` are those, in lower case, by
    which a proxy in front says who calls; no others of that kind are believed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connections: int = 64,
        timeout_s: float = TIMEOUT_S,
        identity_headers: frozenset[str] = frozenset(),
    ) -> None:
        self.endpoint = endpoint
        self.identity_headers = identity_headers
        self.for_callers = self
        self.timeout_s = timeout_s
        self._prefix = urlsplit(endpoint.urls[0]).path
        self._hosts = Hosts(endpoint, connections)

    def open(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: Body | None = None,
        *,
        timeout_s: float | None,
        cancellation: Cancellation | None = None,
    ) -> Answer:
        """Send a request and return the answer with its body unread; the caller closes it.

        `target` is the raw path with its query; `timeout_s` None waits for ever. Redirects are not followed and
        nothing is decoded. A read whose connection is lost is sent once more, to another address if there is one; a
        write only if nothing of it was sent.

        Raises:
            StoreTooSlow: it did not answer in time.
            StoreUnavailable: OpenSearch cannot be reached, or `cancellation` cut the connection.
            BodyLost: the body could not be read.
        """
        request = _Request(method, self._prefix + target, list(headers), body, timeout_s, cancellation)
        problem: OSError | None = None
        url, repeated = self.endpoint.url, False
        for host in self._hosts.in_turn():
            url = host.url
            # a kept connection, then a new one, and another if a read was lost on that
            for connect in (lambda host=host: host.kept(write=not request.is_read), host.connect, host.connect):
                try:
                    connection = connect()
                except OSError as error:
                    host.missed(error, alone=self._hosts.is_one)
                    problem = error
                    break
                if connection is None:
                    continue
                try:
                    return request.sent_on(connection, host)
                except TimeoutError as error:
                    raise StoreTooSlow(f"OpenSearch at {url} did not answer within {timeout_s or 0:g} s") from error
                except OSError as error:
                    if repeated or not request.may_go_again(connection):
                        raise _unavailable(url, error) from error
                    problem = error
                    repeated = connection.has_sent
                    if repeated and not self._hosts.is_one:
                        break
        raise _unavailable(url, problem) from problem

    def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        cancellation: Cancellation | None = None,
        *,
        timeout_s: float | None = USUAL,
    ) -> Reply:
        """Send a request and return the whole answer; without a `timeout_s` the usual one counts, None is for ever.

        Raises:
            StoreUnavailable: OpenSearch cannot be reached, or `cancellation` cut the connection.
        """
        wait_s = self.timeout_s if timeout_s == USUAL else timeout_s
        sent = None if body is None else Body(body, length=len(body))
        answer = self.open(method, target, headers, sent, timeout_s=wait_s, cancellation=cancellation)
        try:
            payload = answer.read()
        except OSError as error:
            raise StoreUnavailable(f"OpenSearch at {self.endpoint.url} broke off: {_cause(error)}") from error
        encoding = next((value for name, value in answer.headers if name.lower() == "content-encoding"), None)
        return Reply(answer.status, answer.headers, decoded(payload, encoding or "", LONGEST_ANSWER))

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._hosts.close()
        if self.for_callers is not self:
            self.for_callers.close()

    def keep_certificate_from_callers(self) -> None:
        """Send what callers send by connections that show no certificate, if the one there is would speak for them.

        Raises:
            StartError: OpenSearch wants a certificate from everybody, and takes this one for an account.
            StoreUnavailable: it cannot be reached.
        """
        if self.endpoint.client_cert is None or self.request("GET", AUTHINFO).status != HTTPStatus.OK:
            return
        bare = dataclasses.replace(self.endpoint, client_cert=None, client_key=None)
        callers = Upstream(bare, timeout_s=self.timeout_s, identity_headers=self.identity_headers)
        try:
            callers.request("GET", AUTHINFO)
        except StoreUnavailable as error:
            callers.close()
            raise StartError(
                f"callers would act with the service's certificate: OpenSearch takes it for an account, and lets"
                f" nobody in without one ({error.reason})",
                hint="Use a client certificate that is no account and no administrator's.",
            ) from error
        self.for_callers = callers


@dataclass(frozen=True)
class _Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: Body | None
    timeout_s: float | None
    cancellation: Cancellation | None

    @property
    def is_read(self) -> bool:
        return self.method in READS

    def may_go_again(self, connection: Connection) -> bool:
        """Say whether to send it anew after a connection was lost."""
        if self.cancellation is not None and self.cancellation.wanted:
            return False
        return not connection.has_sent or (self.is_read and (self.body is None or self.body.is_whole))

    def sent_on(self, connection: Connection, host: Host) -> Answer:
        """Send it on a connection and wait for the answer's head."""
        try:
            try:
                connection.send(self.method, self.target, self.headers, self.body, self.timeout_s)
            except TimeoutError:
                raise
            except OSError:
                if not connection.has_sent:
                    raise
                answer = self._awaited(connection)  # it may have said why it takes no more
                answer.stays = False
            else:
                answer = self._awaited(connection)
        except BaseException:
            connection.close()
            raise
        answer.kept = lambda: host.keep(connection)
        return answer

    def _awaited(self, connection: Connection) -> Answer:
        """Wait for an answer unless that is cancelled; OpenSearch stops a search that nobody awaits."""
        cut = self.cancellation.stopped_by(connection.cut) if self.cancellation else contextlib.nullcontext()
        with cut:
            return connection.answer(self.method, self.timeout_s)


def _unavailable(url: str, error: OSError | None) -> StoreUnavailable:
    return StoreUnavailable(f"OpenSearch at {url} cannot be reached: {_cause(error)}")


def _cause(error: OSError | None) -> str:
    """Return what went wrong in a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "nobody answers there"
    if error is None:
        return "no address"
    if isinstance(error, Broken):
        return str(error)
    return error.strerror or str(error) or type(error).__name__
