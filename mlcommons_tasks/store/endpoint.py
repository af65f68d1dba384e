"""Where OpenSearch is, by one URL or several, and the service's own account there. Sends nothing."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from mlcommons_tasks.config import addresses
from mlcommons_tasks.tls import client_context


@dataclass(frozen=True)
class Endpoint:
    """Where OpenSearch is, and the service's own account there.

    `urls` hold no user and no password: `Endpoint.at` takes them out.
    """

    urls: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    insecure: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None

    @classmethod
    def at(
        cls,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        ca_file: Path | None = None,
        insecure: bool = False,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> Endpoint:
        """Return the endpoint at `url`, which may be several with commas between; an account in it is used
        if no other is given.

        Raises:
            SettingsError: it is no URL, or the URLs are not of one cluster.
        """
        urls, account = addresses(url)
        if account is not None and username in (None, "", account.username):
            username, password = account.username, password or account.password
        return cls(
            urls,
            username=username or None,
            password=password or None,
            ca_file=ca_file,
            insecure=insecure,
            client_cert=client_cert,
            client_key=client_key,
        )

    @property
    def url(self) -> str:
        """All of the addresses, for people."""
        return ",".join(self.urls)

    @property
    def authorization(self) -> dict[str, str]:
        """The header that the service's own account needs; empty without an account."""
        if self.username is None:
            return {}
        account = f"{self.username}:{self.password or ''}".encode()  # OpenSearch reads UTF-8
        return {"authorization": f"Basic {base64.b64encode(account).decode('ascii')}"}

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return how to verify OpenSearch's certificate, or None for http.

        Raises:
            StartError: a file of certificates cannot be used.
        """
        if not self.urls[0].startswith("https:"):
            return None
        return client_context(self.ca_file, self.client_cert, self.client_key, insecure=self.insecure)
