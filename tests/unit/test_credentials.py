"""What is never kept of a request: credentials, wherever they stand."""

from __future__ import annotations

import base64
import json
import time

import pytest

from mlcommons_tasks.emulation.credentials import HIDDEN, kept_body, kept_headers, kept_target, kept_text
from mlcommons_tasks.wire.identities import CALLER_HEADERS, IDENTITIES

SECRET = "hunter2-swordfish"
BASIC = "Basic " + base64.b64encode(f"admin:{SECRET}".encode()).decode()
ENCODED = BASIC.split()[1]


def gone(text: str) -> bool:
    return SECRET not in text and ENCODED not in text


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Emulator-Token"),
        *("X-Api-Key", "X-Amz-Security-Token", "X-Auth-Token", "X-Vault-Secret", "X-SSL-Client-Cert"),
        *("x-forwarded-client-cert", "X-Forwarded-User", "x-proxy-user", "x-proxy-roles"),
        *CALLER_HEADERS,
        *(f"{identity}x" for identity in IDENTITIES),
        *IDENTITIES,
        "X-My-Login",
    ],
)
def test_headers_that_say_who_asks(name: str) -> None:
    """Of a header with a credential or an identity only its name is kept, also of one the service is told of."""
    assert kept_headers([(name, SECRET), ("Accept", "*/*")], {"x-my-login"}) == ((name, HIDDEN), ("Accept", "*/*"))


def test_other_headers_are_kept() -> None:
    """Other headers are kept, but for an account in a URL or what follows Basic or Bearer."""
    headers = [("User-Agent", "py/1"), ("Referer", f"https://me:{SECRET}@h/x"), ("X-Note", f"uses bearer {SECRET}")]

    assert kept_headers(headers) == (
        ("User-Agent", "py/1"),
        ("Referer", f"https://{HIDDEN}@h/x"),
        ("X-Note", f"uses bearer {HIDDEN}"),
    )


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/a?x=1&y", "/a?x=1&y"),
        (f"/a?token={SECRET}&x=1", f"/a?token={HIDDEN}&x=1"),
        (f"/a?Access_Key={SECRET}", f"/a?Access_Key={HIDDEN}"),
        (f"/a?to%6ben={SECRET}", f"/a?to%6ben={HIDDEN}"),
        (f"http://me:{SECRET}@h/a", f"http://{HIDDEN}@h/a"),
        (f"/a?url=http%3A%2F%2Fme%3A{SECRET}%40h%2F", f"/a?url=http%3A%2F%2F{HIDDEN}%40h%2F"),
        (f"/a?q=Bearer%20{SECRET}", f"/a?q=Bearer+{HIDDEN}"),
        (f"/a?source=%7B%22password%22%3A%22{SECRET}%22%7D", f"/a?source=%7B%22password%22%3A%22{HIDDEN}%22%7D"),
    ],
)
def test_targets(target: str, kept: str) -> None:
    """In a target values of secret parameters are hidden, and accounts in URLs; all else is as it was sent."""
    assert kept_target(target) == kept


@pytest.mark.parametrize(
    "name",
    ["password", "passwd", "client_secret", "TOKEN", "accessToken", "credential", "api_key", "apiKey", "access_key"],
)
def test_fields_of_bodies(name: str) -> None:
    """A field whose name speaks of a secret has no value, at any depth, whatever the value was."""
    for value in (SECRET, [SECRET], {"x": {"y": SECRET}}, [{"z": [SECRET, "]"]}, '"}'], 12345678901):
        body = {"a": [{"b": {name: value, "c": 1}}], "d": "}"}
        kept = json.loads(kept_body(json.dumps(body).encode(), "application/json"))
        assert kept == {"a": [{"b": {name: HIDDEN, "c": 1}}], "d": "}"}


@pytest.mark.parametrize(
    "text",
    [
        '{"pass\\u0077ord": "%s"}',
        '{"password" /* " */ : /* : */ "%s"}',
        '{"password" // "\n : "%s"}',
        '{"text": "{\\"password\\": \\"%s\\"}"}',
        '{"text": "{\\"text\\": \\"{\\\\\\"token\\\\\\": \\\\\\"%s\\\\\\"}\\"}"}',
        '{"create": {}}\n{"password": "%s"}\n{"a": 1}',
        '{"a": 1, "password": "%s',
        '{"a": 1, "password": ["%s',
        '{"a": 1, "password": {"b": {"c": "%s", "d',
        '{"url": "http://me:%s@host/x"}',
        '{"url": "http:\\/\\/me:%s@host\\/x"}',
        '{"said": "Authorization: Bearer %s"}',
        '{"said": "Authorization: bearer   %s"}',
        f'{{"said": "{BASIC}", "x": "%s@"}}'.replace("%s@", "@"),
    ],
)
def test_where_secrets_hide(text: str) -> None:
    """Escapes, comments, JSON in a string, lines of JSON, a body that was cut off: nothing of it helps."""
    body = (text % SECRET if "%s" in text else text).encode()

    assert gone(kept_body(body, "application/json").decode())
    assert gone(kept_body(body).decode())


def test_what_is_kept_stays_as_it_was() -> None:
    """A body without secrets is the same bytes, and words of a sentence are no credentials."""
    for body in (
        b'{"a": 1.50, "b":[ ]}',
        b'{"reason": "the password was wrong; use Basic training"}',
        b'{"email": "me@example.org", "to": "http://host/a@b"}',
        b'{"a": "\\u00e4", "b": "\xc3',
        b"\xff\xfe@",
    ):
        assert kept_body(body, "application/json") == body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/yaml", f"password: {SECRET}\n".encode()),
        ("application/cbor", b"\xa1\x68password\x71" + SECRET.encode()),
        ("application/smile", b":)\n\x00\xfa\x87password" + SECRET.encode()),
        ("application/json", json.dumps({"password": SECRET}).encode("utf-16")),
        ("application/json", json.dumps({"password": SECRET}).encode("utf-32-be")),
        ("text/plain", f"password={SECRET}".encode()),
        ("text/plain", f"the api-key: {SECRET}".encode()),
        ("application/x-www-form-urlencoded", f"a=1&password={SECRET}".encode()),
        ("multipart/form-data", f"x\r\npassword: {SECRET}".encode()),
    ],
)
def test_other_formats(content_type: str, body: bytes) -> None:
    """Of a format that is not looked into nothing is kept that speaks of a secret."""
    kept = kept_body(body, content_type)

    assert SECRET.encode() not in kept
    assert SECRET not in kept.decode("utf-16", "ignore")
    assert SECRET not in kept.decode("utf-32-be", "ignore")
    assert HIDDEN.encode() in kept


@pytest.mark.parametrize("content_type", ["application/yaml", "application/cbor", "text/plain"])
def test_other_formats_without_secrets(content_type: str) -> None:
    """What speaks of none is kept in every format."""
    assert kept_body(b"size: 10 @", content_type) == b"size: 10 @"


def test_texts() -> None:
    """In a text, accounts are hidden and what follows them is not."""
    assert kept_text(f"curl -H '{BASIC}' http://a:b@h/x?y=c@d") == f"curl -H 'Basic {HIDDEN}' http://{HIDDEN}@h/x?y=c@d"
    assert kept_text("Basic knowledge") == "Basic knowledge"


def test_a_hostile_body_takes_no_time() -> None:
    """Bodies that are as long as they are kept, and made to be slow, are looked through in a moment."""
    began = time.perf_counter()
    for text in (
        '"' * 65536,
        "[" * 65536,
        '{"password":' * 5461,
        "\\" * 65536,
        '"\\' * 32768,
        "/*" * 32768,
        "Basic " * 10922,
    ):
        kept_body(text.encode() + b"token", "application/json")
        kept_body(text.encode() + b"token", "text/plain")
    kept_body(b"token" * 13107, "text/plain")
    kept_body(b"://" * 21845 + b"@", "text/plain")

    assert time.perf_counter() - began < 2


def test_wherever_a_body_is_cut_off() -> None:
    """Of a body that is cut off anywhere, in whatever depth, no piece of a secret is left."""
    inner = json.dumps({"token": SECRET, "b": [1]})
    middle = json.dumps({"text": inner, "api_key": [SECRET, {"x": SECRET}], "u": f"https://me:{SECRET}@h/"})
    whole = json.dumps({"a": middle, "password": {"x": SECRET}, "c": inner, "d": BASIC, "é": 1}, ensure_ascii=False)
    for separated in (whole, whole.replace(": ", ":"), json.dumps(json.loads(whole), indent=1)):
        body = separated.encode()
        for end in range(len(body)):
            kept = kept_body(body[:end], "application/json", is_cut=True).decode("utf-8", "replace")
            assert SECRET[:3] not in kept, (end, kept)
            assert ENCODED[:5] not in kept, (end, kept)


@pytest.mark.parametrize("text", ["://me:%s@h", "Basic %s", "Bearer %s"])
def test_an_account_that_is_cut_off(text: str) -> None:
    """What is left of an account or a token at the end of what is kept is hidden as well."""
    body = (text % ENCODED if "Basic" in text else text % SECRET).encode()
    for end in range(len(body)):
        kept = kept_body(body[:end], "application/json", is_cut=True).decode()
        assert SECRET[:3] not in kept
        assert ENCODED[:3] not in kept


@pytest.mark.parametrize("name", ["openAI_key", "cohere_key", "pwd", "auth", "bearer", "X-My-Key"])
def test_keys_to_something_are_not_kept(name: str) -> None:
    """Connectors have such names in their bodies."""
    assert kept_body(json.dumps({"a": {name: "s3cret"}}).encode()) == b'{"a": {"%b": "***"}}' % name.encode()
    assert "s3cret" not in kept_target(f"/x?{name}=s3cret")


@pytest.mark.parametrize("name", ["key", "key_as_string", "doc_count", "monkey", "author"])
def test_buckets_have_keys_of_another_kind(name: str) -> None:
    """The answers of aggregations stay as they are."""
    body = json.dumps({"buckets": [{name: "KMEANS"}]}).encode()

    assert kept_body(body) == body


def test_urls_in_headers_and_paths_are_looked_into() -> None:
    """A page that was left, and parameters of a path, may have a token as well."""
    ((_, referer),) = kept_headers([("Referer", "http://a.example/x?token=s3cret&b=1")])

    assert "s3cret" not in referer + kept_target("/x;token=s3cret/y")
    assert "b=1" in referer


@pytest.mark.parametrize("before", ["", "x" * 9_000, "\N{SNOWMAN}" * 3_000])
@pytest.mark.parametrize("cut", ["http://me", "https://me:hunter2", "Basic bWU6aHVud", "see http:\\/\\/me"])
def test_the_beginning_of_an_account_at_the_end_of_a_long_body(before: str, cut: str) -> None:
    """What was cut off may have been an account, however much there is before it and whatever it is."""
    body = f'{{"text":"{before} {cut}'.encode()

    kept = kept_body(body, "application/json", is_cut=True).decode()

    assert kept.startswith(f'{{"text":"{before} ')
    assert kept.endswith("***")
    assert "me" not in kept.removeprefix('{"text":"' + before)
