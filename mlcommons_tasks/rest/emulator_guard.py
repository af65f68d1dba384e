"""Who may call `/_emulator/`: who shows the token, or, where there is none, who is on this machine and no web page.

A browser on this machine can be made to send requests by any page it shows. It says from where (`Origin`), and under
which name it looked us up (`Host`), which a page's author may have pointed at a loopback address.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from mlcommons_tasks.config import is_loopback
from mlcommons_tasks.errors import TaskPluginError

PREFIX = "/_emulator"
INSIDE = f"{PREFIX}/in/"  #: what comes behind it is a namespace and a path of that
TOKEN_HEADER = "X-Emulator-Token"  # noqa: S105  # a name, no secret
NAMESPACE_HEADER = "X-Emulator-Namespace"


class Refused(TaskPluginError):
    """403: this caller may not direct the emulator."""

    status = 403
    type = "security_exception"


class TokenMissing(Refused):
    """401: the token is missing, or is another."""

    status = 401


class Guard:
    """Looks at the headers of calls to `/_emulator/`."""

    def __init__(self, token: str | None, host: str) -> None:
        """Let those in who show `token`; without one those who call by `host` or a loopback name."""
        self._token = token
        self._host = host.lower()

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise Refused, or TokenMissing, unless the caller may do this."""
        host = headers.get("Host", "")
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refused(f"pages of [{origin}] may not direct the emulator")
        if self._token is not None:
            shown = headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(shown.encode(), self._token.encode()):
                raise TokenMissing(f"the header [{TOKEN_HEADER}] must have the service's token")
        elif not self._is_near(host):
            raise Refused(f"the emulator is called by a loopback name, not [{host}]; start it with a token for others")

    def _is_near(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name in ("localhost", self._host) or is_loopback(name)
