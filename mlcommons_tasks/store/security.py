"""What a secured cluster says of its callers: who they are, and what their roles allow.

A caller is asked about with the caller's own credentials; roles are read with the service's account.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.errors import UpstreamError
from mlcommons_tasks.store.connection import refused
from mlcommons_tasks.store.upstream import AUTHINFO, Reply, Upstream
from mlcommons_tasks.wire.permissions import Caller, Roles

ROLES = "/_plugins/_security/api/roles"
ACTION_GROUPS = "/_plugins/_security/api/actiongroups"
FRESH_S = 3.0  #: how long a caller's roles, and what they allow, are taken for true
MOST_CALLERS = 1_000


class CallerRefused(UpstreamError):
    """The cluster does not let the caller in; its answer is the answer."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(answer.status, answer.payload, answer.content_type, "security_exception", "not let in")
        self.answer = answer


class Security:
    """The security plugin of the cluster."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._callers: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._roles: tuple[float, Roles] | None = None

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who sends these headers.

        Raises:
            CallerRefused: the cluster does not let them in.
            StoreUnavailable: the cluster cannot be reached.
        """
        key = hashlib.sha256(json.dumps(sorted(headers.items())).encode()).digest()
        with self._lock:
            known = self._callers.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        until = time.monotonic() + FRESH_S
        answer = self._upstream.for_callers.request("GET", AUTHINFO, list(headers.items()))
        if answer.status >= 400:
            raise CallerRefused(answer)
        caller = Caller.of(json.loads(answer.payload))
        with self._lock:
            self._callers[key] = (until, caller)
            self._callers.move_to_end(key)
            while len(self._callers) > MOST_CALLERS:
                self._callers.popitem(last=False)
        return caller

    def roles(self) -> Roles:
        """Return what roles allow.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        known = self._roles
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        until = time.monotonic() + FRESH_S
        roles = Roles.of(*(self._own(target) for target in (ROLES, ACTION_GROUPS)))
        self._roles = (until, roles)
        return roles

    def _own(self, target: str) -> Mapping[str, Any]:
        answer = self._upstream.request("GET", target, list(self._upstream.endpoint.authorization.items()))
        if answer.status >= 400:
            raise refused(answer)
        body: Mapping[str, Any] = json.loads(answer.payload)
        return body
