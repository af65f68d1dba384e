"""The connection of our own requests: opensearch-py, its errors turned into ours, writes repeated until they count.

Knows no index. What passes through goes by `upstream.py`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import opensearchpy
from opensearchpy.exceptions import ConnectionError as TransportFailure
from opensearchpy.exceptions import ConnectionTimeout, NotFoundError, TransportError

from mlcommons_tasks.errors import IndexNotFound, StoreUnavailable, TaskPluginError, UpstreamError
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.rendering import JSON_CONTENT_TYPE, render_json

log = logging.getLogger(__name__)

Client = opensearchpy.OpenSearch  #: what `open_client` gives
Result = TypeVar("Result")

#: Chance of our own: tests of users seed `random`, and get their numbers from it undisturbed.
SPREAD = random.SystemRandom()
RETRYABLE = frozenset({429, 502, 503, 504})
STATE_NOT_RECOVERED = "1"  #: `GatewayService.STATE_NOT_RECOVERED_BLOCK`
BLOCKED = "cluster_block_exception"  #: an index that is read-only, for as long as somebody wants it so
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
LONGEST_WAIT_S = 60.0  #: for an answer to a request of our own
DEAD_FOR_S = 1.0  #: how long an address that cannot be reached is left alone, the first time; twice that the next


class CertificateRefused(StoreUnavailable):
    """OpenSearch cannot be reached, and waiting does not help."""


def open_client(endpoint: Endpoint, timeout_s: float = LONGEST_WAIT_S) -> Client:
    """Return an opensearch-py client for the service's own account; nothing is sent yet."""
    options: dict[str, Any] = {
        "timeout": min(timeout_s, LONGEST_WAIT_S),
        "max_retries": len(endpoint.urls) - 1,  # each once; what is sent twice is written as it was
        "retry_on_status": (),
        "dead_timeout": DEAD_FOR_S,
        "pool_maxsize": 32,
        "headers": endpoint.authorization,
    }
    context = endpoint.ssl_context()
    if context is not None:
        options["ssl_context"] = context
    return opensearchpy.OpenSearch(hosts=list(endpoint.urls), **options)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what opensearch-py raises into our errors.

    Raises:
        CertificateRefused: it shows a certificate that we do not trust.
        StoreUnavailable: OpenSearch cannot be reached.
        IndexNotFound: it says that an index is missing.
        UpstreamError: any other error it answers with.
    """
    try:
        yield
    except opensearchpy.exceptions.SSLError as error:
        raise CertificateRefused(f"OpenSearch's certificate does not hold: {_sentence(error)}") from error
    except (TransportFailure, ConnectionTimeout) as error:
        raise StoreUnavailable(f"OpenSearch cannot be reached: {_sentence(error)}") from error
    except TransportError as error:
        raise from_transport_error(error) from error


def from_transport_error(error: TransportError) -> TaskPluginError:
    """Return our error for one of opensearch-py's that has a status."""
    body = error.info if isinstance(error.info, dict) else {"error": str(error.info), "status": error.status_code}
    detail = body.get("error")
    if isinstance(detail, dict):
        kind, reason = str(detail.get("type")), str(detail.get("reason"))
        if isinstance(error, NotFoundError) and kind == IndexNotFound.type:
            return IndexNotFound(str(detail.get("index", "")))
    else:
        kind, reason = "exception", str(body.get("message") if detail is None else detail)  # the security plugin's own
    return UpstreamError(int(error.status_code), render_json(body), JSON_CONTENT_TYPE, kind, reason)


def refused(reply: Reply) -> UpstreamError:
    """Return the error that a raw answer with a status of 400 or more stands for."""
    kind, reason = "exception", f"OpenSearch answered {reply.status}"
    with contextlib.suppress(ValueError, AttributeError):
        detail = json.loads(reply.payload).get("error")
        if isinstance(detail, dict):
            kind, reason = str(detail.get("type")), str(detail.get("reason"))
        elif isinstance(detail, str):
            reason = detail
    return UpstreamError(reply.status, reply.payload, reply.content_type, kind, reason)


def is_not_recovered(state: Mapping[str, Any]) -> bool:
    """Say of a cluster's state, with its blocks, whether it has just started and does not know its indices yet."""
    return STATE_NOT_RECOVERED in state.get("blocks", {}).get("global", {})


def is_passing(error: TaskPluginError) -> bool:
    """Say whether the same request may succeed later."""
    if isinstance(error, UpstreamError):
        return error.status in RETRYABLE or error.type == BLOCKED
    return isinstance(error, StoreUnavailable)


def until_it_counts(
    action: Callable[[], Result], *, deadline_s: float | None, closing: threading.Event | None = None
) -> Result:
    """Return what `action` gives, repeated with growing pauses while its error is a passing one.

    `deadline_s` None is for as long as it takes.

    Raises:
        TaskPluginError: the last one, once `deadline_s` seconds are over or `closing` is set, or one that will not
            pass.
    """
    closing = closing or threading.Event()
    until = time.monotonic() + (math.inf if deadline_s is None else deadline_s)
    pause = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except TaskPluginError as error:
            if not is_passing(error) or closing.is_set() or time.monotonic() + pause > until:
                raise
            log.warning("OpenSearch is asked again in %.2f s: %s", pause, error)
        closing.wait(pause * SPREAD.uniform(0.5, 1.0))  # of repeats
        pause = min(pause * 2, LONGEST_PAUSE_S)


def _sentence(error: TransportError) -> str:
    return str(error.args[1] if len(error.args) > 1 else error)
