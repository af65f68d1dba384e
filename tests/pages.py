"""What pages show of a terminal: `curl` commands, and below each what is answered. Read, and run over a service.

    curl -XPOST localhost:9201/path -d '{"a": 1}'
    # 404 {"b":"<name>","c":…,…}

Without a status it is 200. `…` is anything, or more of the same; `<name>` is any text that later commands mean by it.
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import Client

ADDRESS = re.compile(r"^(?:http://)?(?:localhost|127\.0\.0\.1):9201")
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
ANSWER = re.compile(r"(?:([1-5]\d\d) )?(.*)", re.DOTALL)
MORE = "…"
#: What curl says where there is no whole answer, and what Python does.
BROKEN: dict[str, tuple[type[Exception], ...]] = {
    "curl: (52) Empty reply from server": (http.client.RemoteDisconnected,),
    "curl: (56) Recv failure: Connection reset by peer": (ConnectionResetError,),
}


@dataclass(frozen=True)
class Example:
    """A command and what is said to come of it; `line` is where it stands on the page."""

    line: int
    words: tuple[str, ...]
    said: str


def sections(page: Path, *, marked: str = "") -> dict[str, list[Example]]:
    """Return a page's examples by heading, those headings alone that have any, or that are `marked`."""
    text = page.read_text("utf-8")
    starts = [(found.start(), found[1]) for found in HEADING.finditer(text)]
    found: dict[str, list[Example]] = {}
    for block in SHELL.finditer(text):
        heading = [name for start, name in starts if start < block.start()][-1]
        if marked in heading:
            line = text.count("\n", 0, block.start(1)) + 1
            found.setdefault(heading, []).extend(examples(block[1], line))
    return {heading: listed for heading, listed in found.items() if listed}


def examples(block: str, line: int) -> Iterator[Example]:
    """Return the `curl` commands of a block with what stands below each."""
    lines = block.splitlines()
    at = 0
    while at < len(lines):
        start, words = at, _words(lines[at])
        while words is None:  # a quotation goes on
            at += 1
            words = _words("\n".join(lines[start : at + 1]))
        at += 1
        said = at
        while at < len(lines) and lines[at].startswith("# "):
            at += 1
        if words[:1] == ("curl",):
            yield Example(line + start, words, "\n".join(each[2:] for each in lines[said:at]))


def run(listed: list[Example], url: str) -> None:
    """Run examples one after another over a service, and hold its answers to what the page says.

    Raises:
        AssertionError: one is not as it is said; names the line.
    """
    known: dict[str, str] = {}
    for example in listed:
        try:
            _run(example, Client(url), known)
        except AssertionError as error:
            raise AssertionError(f"line {example.line}: {' '.join(example.words)}\n{error}") from error


def _run(example: Example, client: Client, known: dict[str, str]) -> None:
    method, path, headers, body = _request(example.words, known)
    if example.said.startswith("curl: "):
        try:
            answer = client.send(method, path, body, headers)
        except BROKEN[example.said]:
            return
        raise AssertionError(f"an answer where none was said to be: {answer.status} {answer.payload!r}")
    answer = client.send(method, path, body, headers)
    matched = ANSWER.fullmatch(example.said)
    assert matched is not None
    shown = answer.payload.decode()
    assert answer.status == int(matched[1] or 200), f"{answer.status} {shown}"
    if matched[2]:
        assert fits(matched[2], answer.body, known), f"said:  {matched[2]}\nfound: {shown}"


def _request(words: tuple[str, ...], known: dict[str, str]) -> tuple[str, str, dict[str, str], bytes | None]:
    method, path, headers, body = "", "", {}, None
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("-X"):
            method = word[2:]
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word in ("-d", "--data-binary"):
            body = _body(next(rest))
        else:
            assert ADDRESS.match(word), f"not known of curl: {word}"
            path = ADDRESS.sub("", word)
    for name, value in known.items():
        path = path.replace(f"<{name}>", value)
    return method or ("GET" if body is None else "POST"), path, headers, body


def _body(text: str) -> bytes:
    return (Path(__file__).parents[1] / text[1:]).read_bytes() if text.startswith("@") else text.encode()


def _words(text: str) -> tuple[str, ...] | None:
    try:
        return tuple(shlex.split(text, comments=True))
    except ValueError:
        return None


def fits(said: str, found: Any, known: dict[str, str] | None = None) -> bool:
    """Say whether what was found is what is said; `known` are the names that were given so far."""
    return _fits(json.loads(_quoted(said)), found, {} if known is None else known)


def _quoted(said: str) -> str:
    """Return what is said of an answer as JSON: `…` that stands for itself is a text, and a field of that name."""
    said = re.sub(rf"(?<=[\[:]){MORE}", f'"{MORE}"', said)
    return re.sub(rf",{MORE}(?=[,}}])", lambda found: f',"{MORE}{found.start()}":0', said)


def _fits(wanted: Any, found: Any, known: dict[str, str]) -> bool:
    if isinstance(wanted, str):
        if re.fullmatch(r"<\w+>", wanted) and isinstance(found, str):
            return known.setdefault(wanted[1:-1], found) == found
        return wanted in (MORE, found)
    if isinstance(wanted, list):
        if wanted == [MORE]:
            return isinstance(found, list)
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_fits(one, other, known) for one, other in zip(wanted, found, strict=True))
        )
    if isinstance(wanted, dict):
        names = [name for name in wanted if not name.startswith(MORE)]
        has_more = len(names) < len(wanted)
        return (
            isinstance(found, dict)
            and (set(found) >= set(names) if has_more else list(found) == names)
            and all(_fits(wanted[name], found[name], known) for name in names)
        )
    return type(wanted) is type(found) and bool(wanted == found)
