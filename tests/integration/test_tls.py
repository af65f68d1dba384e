"""Certificates of both sides: which are verified, which are shown, which cannot be used, and no secret in sight."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from mlcommons_tasks import running_service
from tests.clients import TASKS, TRAIN, Answer, Client, as_envelope, rows_body
from tests.integration.test_starts_that_fail import failed
from tests.services import Service, service
from tests.upstreams import answering, free_port, osmem, passing_to

PASSWORD = "hush,hush: ä/@?"
OWN = "Basic " + base64.b64encode(f"keeper:{PASSWORD}".encode()).decode()


@dataclass
class Files:
    """An authority and what it vouches for, as files."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    def issued(self, *names: str) -> tuple[Path, Path]:
        """Return a certificate's file and its key's."""
        issued = self.authority.issue_cert(*names)
        cert, key = self.folder / f"{names[0]}.crt", self.folder / f"{names[0]}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key

    def server(self, *names: str, wants_certificate: bool = False) -> ssl.SSLContext:
        """Return how an OpenSearch with such a certificate speaks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        if wants_certificate:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, trustme.CA())


@contextlib.contextmanager
def opensearch(tls: ssl.SSLContext, *, port: int = 0) -> Iterator[str]:
    with osmem() as server, answering(passing_to(server.url), tls=tls, port=port) as url:
        yield url


class SecureClient(Client):
    """Speaks https, and verifies the certificate."""

    def __init__(self, url: str, ca: Path) -> None:
        super().__init__(url)
        self.context = ssl.create_default_context(cafile=str(ca))

    def send(self, method: str, path: str, body: object = None, headers: object = None) -> Answer:
        connection = http.client.HTTPSConnection(self.netloc, context=self.context, timeout=60)
        with contextlib.closing(connection):
            payload = json.dumps(body).encode() if body is not None else None
            connection.request(method, path, payload, {"Content-Type": "application/json"} if payload else {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())


@pytest.mark.parametrize("together", [False, True])
def test_the_service_speaks_https_with_a_certificate(files: Files, together: bool) -> None:
    """--cert and --key, or both in one file: routes of ours, forwarded ones, connections that are kept, long bodies."""
    cert, key = files.issued("127.0.0.1", "localhost")
    flags = ["--cert", str(cert), "--key", str(key)]
    if together:
        cert.write_bytes(cert.read_bytes() + key.read_bytes())
        flags = ["--cert", str(cert)]
    with service("--opensearch", "memory", *flags) as running:
        assert running.url.startswith("https://127.0.0.1:")
        client = SecureClient(running.url, files.ca)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert client.send("GET", f"{TASKS}/none").status == 404
        connection = http.client.HTTPSConnection(client.netloc, context=client.context, timeout=60)
        with contextlib.closing(connection):
            for number in range(20):
                connection.request("PUT", f"/tls/_doc/{number}", b'{"a": "%b"}' % (b"x" * 200_000), JSON)
                answer = connection.getresponse()
                assert answer.status == 201, answer.read()
                answer.read()
            connection.request("GET", "/tls/_doc/7")
            assert len(json.loads(connection.getresponse().read())["_source"]["a"]) == 200_000
        with contextlib.suppress(OSError):  # plain http is not understood, and hurts nobody
            assert b"HTTP/1.1 2" not in plain(running)
        assert client.ok("GET", "/tls/_count")["count"] == 20
        assert "Traceback" not in running.log.read_text()
        assert running.stop() == 0


JSON = {"Content-Type": "application/json"}


def plain(running: Service) -> bytes:
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(1000)


def test_a_service_in_a_thread_speaks_https_too(files: Files) -> None:
    """`running_service` takes the same settings."""
    cert, key = files.issued("127.0.0.1")
    with running_service(opensearch="memory", cert=cert, key=key) as running:
        client = SecureClient(running.url, files.ca)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert client.ok("GET", "/")["version"]


def test_a_client_certificate_is_shown_to_opensearch(files: Files) -> None:
    """Both our own requests and forwarded ones carry it; without it OpenSearch lets nobody in, and the start fails."""
    cert, key = files.issued("keeper.example")
    shown = ("--client-cert", str(cert), "--client-key", str(key))
    with opensearch(files.server("127.0.0.1", wants_certificate=True)) as url:
        flags = ("--opensearch", url, "--ca-file", str(files.ca))
        with service(*flags, *shown) as running:
            client = Client(running.url)
            assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
            assert client.ok("PUT", "/mine/_doc/1", {"a": 1})["result"] == "created"
        said = failed(*flags, "--wait", "1")
        assert "certificate" in said


def test_another_hosts_certificate_is_refused(files: Files) -> None:
    """A certificate that the authority gave to another name is not this OpenSearch's."""
    with opensearch(files.server("other.example")) as url:
        said = failed("--opensearch", url, "--ca-file", str(files.ca))
        assert f"OpenSearch at {url} cannot be trusted" in said
        assert "IP address mismatch" in said


def test_an_opensearch_that_changes_its_certificate_is_not_believed(files: Files, tmp_path: Path) -> None:
    """While the service runs, a stranger in OpenSearch's place gets no request: 502 forwarded, 503 for ours."""
    port = free_port()
    strangers = Files(tmp_path, trustme.CA())
    ca = files.ca
    with contextlib.ExitStack() as first:
        url = first.enter_context(opensearch(files.server("127.0.0.1"), port=port))
        with service("--opensearch", url, "--ca-file", str(ca)) as running:
            client = Client(running.url)
            client.ok("GET", "/")
            first.close()
            seen: list[dict[str, str]] = []
            with (
                osmem() as server,
                answering(passing_to(server.url, seen), tls=strangers.server("127.0.0.1"), port=port),
            ):
                error = as_envelope(answer := client.send("GET", "/mine"))
                assert answer.status == 502
                assert "its certificate does not hold" in error["reason"]
                assert client.send("GET", f"{TASKS}/x").status == 503
            assert seen == []


@pytest.mark.parametrize("flag", ["--cert", "--client-cert"])
@pytest.mark.parametrize("what", ["missing", "junk", "another key", "encrypted"])
def test_a_certificate_that_cannot_be_used_stops_the_start(files: Files, flag: str, what: str) -> None:
    """The file is named, with the flags to correct; nothing is asked on the terminal."""
    cert, key = files.issued("127.0.0.1")
    if what == "missing":
        cert = files.folder / "nowhere.pem"
    elif what == "junk":
        cert.write_text("no certificate")
    elif what == "another key":
        key = files.issued("other.example")[1]
    else:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        words = serialization.BestAvailableEncryption(b"hush")
        kind = serialization.PrivateFormat.PKCS8
        key.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, kind, words))
    key_flag = "--key" if flag == "--cert" else "--client-key"
    over = "memory" if flag == "--cert" else "https://127.0.0.1:1"
    said = failed("--opensearch", over, flag, str(cert), key_flag, str(key))
    assert cert.name in said
    assert key_flag in said
    assert ("encrypted" if what == "encrypted" else "cannot be used") in said


def test_a_key_without_a_certificate_is_refused(files: Files) -> None:
    """There is nothing that it would open."""
    _, key = files.issued("127.0.0.1")
    assert "key is of no use without cert" in failed("--opensearch", "memory", "--key", str(key))


def test_a_password_in_a_file_is_nowhere_else(files: Files) -> None:
    """Not in command lines, the ready line, the log, errors or answers; and it is what OpenSearch gets."""
    secret = files.folder / "password"
    secret.write_text(PASSWORD + "\n")
    seen: list[dict[str, str]] = []
    tls = files.server("127.0.0.1")
    flags = ("--username", "keeper", "--password-file", str(secret), "--ca-file", str(files.ca))
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(contextlib.ExitStack())
        backing = front.enter_context(osmem())
        url = front.enter_context(answering(passing_to(backing.url, seen), tls=tls))
        running = stack.enter_context(
            service("--opensearch", url, *flags, environment={"MLCOMMONS_TASKS_LOG_LEVEL": "debug"})
        )
        client = Client(running.url)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert {request.get("authorization") for request in seen} == {OWN}
        shown = [" ".join(process.cmdline()) for process in family(running)]
        front.close()
        for method, path, body in [("GET", f"{TASKS}/x", None), ("POST", TRAIN, rows_body()), ("GET", "/x", None)]:
            as_envelope(answer := client.send(method, path, body))
            assert answer.status in (502, 503)
            shown.append(answer.payload.decode())
        running.stop()
        shown += [running.log.read_text(), str(running.ready)]
    for word in (PASSWORD, json.dumps(PASSWORD)[1:-1], OWN.split()[1]):
        assert all(word not in text for text in shown), word


def family(running: Service) -> list[psutil.Process]:
    process = psutil.Process(running.process.pid)
    return [process, *process.children(recursive=True)]


@pytest.mark.parametrize("what", ["missing", "empty", "both"])
def test_a_password_file_that_cannot_be_used_stops_the_start(files: Files, what: str) -> None:
    """It is named; a password given twice is refused."""
    secret = files.folder / "password"
    if what != "missing":
        secret.write_text("\n" if what == "empty" else "hush")
    flags = ["--opensearch", "http://127.0.0.1:1", "--password-file", str(secret)]
    said = failed(*flags, *(["--password", "hush"] if what == "both" else []))
    assert {"missing": "cannot be read", "empty": "is empty", "both": "cannot both be given"}[what] in said
    assert "hush" not in said
