"""An OpenSearch behind https and an account: certificates, whose credentials go where, and what is never shown."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from tests.clients import TASKS, Client, rows_body
from tests.services import clean_environment, service
from tests.upstreams import answering, osmem, passing_to

SECRET = "sésame!/ouvre@toi"
IN_URL = "s%C3%A9same%21%2Fouvre%40toi"
OWN = "Basic " + base64.b64encode(f"keeper:{SECRET}".encode()).decode()


@dataclass
class Secured:
    """An OpenSearch behind TLS, and the requests that came there."""

    url: str
    ca_file: Path
    seen: list[dict[str, str]] = field(default_factory=list)

    @property
    def with_account(self) -> str:
        return self.url.replace("//", f"//keeper:{IN_URL}@")


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    seen: list[dict[str, str]] = []
    with osmem() as server, answering(passing_to(server.url, seen), tls=context) as url:
        yield Secured(url, ca_file, seen)


def test_https_with_a_ca_file_carries_each_request_with_its_own_account(secured: Secured) -> None:
    """Our requests go with the service's account, forwarded ones with the caller's or none; none is ever shown."""
    flags = ("--opensearch", secured.with_account, "--ca-file", str(secured.ca_file))
    with service(*flags, environment={"MLCOMMONS_TASKS_LOG_LEVEL": "debug"}) as running:
        assert running.opensearch_url == secured.url
        client = Client(running.url)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert {request.get("authorization") for request in secured.seen} == {OWN}
        secured.seen.clear()
        client.ok("PUT", "/mine/_doc/1?refresh=true", {"a": 1})
        client.ok("GET", "/mine/_doc/1", headers={"Authorization": "Basic Y2FsbGVyOng="})
        assert [request.get("authorization") for request in secured.seen] == [None, "Basic Y2FsbGVyOng="]
        error = client.send("GET", f"{TASKS}/none").payload.decode()
        assert running.stop() == 0
        shown = running.log.read_text() + str(running.ready) + error
    for word in (SECRET, IN_URL, "keeper", OWN.split()[1]):
        assert word not in shown, word


@pytest.mark.parametrize("other", [True, False])
def test_a_certificate_that_does_not_hold_stops_the_start_at_once(
    secured: Secured, tmp_path: Path, other: bool
) -> None:
    """Another authority's certificate, or the system's alone, is refused without a wait, with the flag to set."""
    flags = ["--opensearch", secured.with_account]
    if other:
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
        flags += ["--ca-file", str(tmp_path / "other.pem")]
    ended = subprocess.run(
        [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0", *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert f"OpenSearch at {secured.url} cannot be trusted" in ended.stderr
    assert "--ca-file" in ended.stderr
    assert "Traceback" not in ended.stderr
    for word in (SECRET, IN_URL, "keeper"):
        assert word not in ended.stderr


def test_insecure_takes_any_certificate_and_says_so(secured: Secured) -> None:
    """--insecure serves over a certificate that nobody vouches for, with a warning on stderr."""
    with service("--opensearch", secured.url, "--insecure") as running:
        client = Client(running.url)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert running.stop() == 0
        assert "certificate is not verified" in running.log.read_text()
