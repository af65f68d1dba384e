"""Nobody acts with another's identity: not with the service's certificate, not by a header that says who one is."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.clients import TASKS, Client
from tests.raw_upstream import raw_upstream
from tests.secured_node import AUTHINFO, SecuredNode
from tests.services import Service, service

pytestmark = pytest.mark.embedded

SAID = {"X-Proxy-User": "admin", "x-proxy-roles": "all", "X-SSL-Client-S-DN": "CN=admin", "X-Other": "stays"}


@pytest.fixture(scope="module")
def with_certificate(secured_cluster: SecuredNode) -> Iterator[Service]:
    """A service that shows OpenSearch an administrator's certificate."""
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file))
    shown = ("--client-cert", str(secured_cluster.administrator))
    with service(*flags, *shown, environment=secured_cluster.account("service").environment) as running:
        yield running


def test_the_certificate_is_an_account_to_the_cluster(secured_cluster: SecuredNode) -> None:
    """Who shows it needs no password: the danger is real."""
    context = ssl.create_default_context(cafile=secured_cluster.ca_file)
    context.load_cert_chain(secured_cluster.administrator)
    connection = http.client.HTTPSConnection(urlsplit(secured_cluster.url).netloc, context=context)
    with contextlib.closing(connection):
        connection.request("GET", AUTHINFO)
        answer = connection.getresponse()
        assert (answer.status, b"administrator" in answer.read()) == (200, True)


@pytest.mark.parametrize("who", ["anonymous", "wrong_password", "unknown"])
@pytest.mark.parametrize("path", ["/", AUTHINFO, "/_cat/indices", f"{TASKS}/none", "/_tasks", "/_cluster/settings"])
def test_no_stranger_acts_with_the_services_certificate(
    secured_cluster: SecuredNode, with_certificate: Service, who: str, path: str
) -> None:
    """They are refused as if the service had none."""
    assert secured_cluster.client(who, with_certificate.url).send("GET", path).status == 401


def test_callers_have_their_own_rights_beside_it(secured_cluster: SecuredNode, with_certificate: Service) -> None:
    """No more and no less."""
    client = secured_cluster.client("ml_read", with_certificate.url)
    assert client.send("GET", f"{TASKS}/none").status == 404
    assert client.send("DELETE", f"{TASKS}/none").status == 403
    assert client.send("GET", "/_cat/indices").status == 403
    assert client.ok("GET", AUTHINFO)["user_name"] == "ml_read"


@pytest.mark.parametrize(
    ("flags", "passed"),
    [
        ((), {"x-other"}),
        (("--identity-headers", "X-Proxy-User, X-Proxy-Roles"), {"x-other", "x-proxy-user", "x-proxy-roles"}),
    ],
)
def test_who_calls_is_said_by_headers_only_where_the_service_is_told_so(
    flags: tuple[str, ...], passed: set[str]
) -> None:
    """A proxy in front says it by those that are named; from others such headers go no further."""
    with raw_upstream() as upstream, service("--opensearch", upstream.url, *flags) as running:
        Client(running.url).send("GET", "/raw/anything", headers=SAID)
        (request,) = [each for each in upstream.requests if b"/raw/anything" in each.head]
        names = {line.partition(b":")[0].decode().lower() for line in request.head.split(b"\r\n")[1:]}
        assert names & {name.lower() for name in SAID} == passed
