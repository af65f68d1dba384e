"""What `docs/openapi.yaml` describes, as requests: schemathesis makes them, true to the document and not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from .messages import Answer, Message
from .rules import problems

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"
#: How long to wait at most, whatever was made up.
TIMEOUT = "100ms"


def document() -> dict[str, Any]:
    """Return the document."""
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    return found


def routes() -> set[tuple[str, str]]:
    """Return the routes that are described: method and path."""
    return {
        (method.upper(), path)
        for path, item in document()["paths"].items()
        for method in item
        if method in ("get", "put", "post", "delete", "patch", "head", "options", "trace")
    }


def path_of(rule: str) -> str:
    """Return a rule of the application's as a path of the document: `<segment:id>` is `{id}` there."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def run(url: str, examples: int, number: int) -> int:
    """Send so many requests to each operation, half of them as described and half not; return how many went out.

    Raises:
        AssertionError: an answer is not as described, or breaks a rule.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import requests
        import schemathesis

        schema = schemathesis.openapi.from_dict(document())
        sent = 0
        with requests.Session() as session:
            for found in schema.get_all_operations():
                for mode in schemathesis.GenerationMode:
                    sent += _send(found.ok(), mode, examples // 2, number, session, url)
    return sent


def as_described() -> list[Any]:
    """Return schemathesis' checks that an answer is as its document says."""
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    return [status_code_conformance, content_type_conformance, response_schema_conformance]


def made(
    operation: Any, mode: Any, examples: int, number: int
) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Return a decorator: the function is called with so many requests to an operation, the same for each number."""

    def decorate(send: Callable[[Any], None]) -> Callable[[], None]:
        told = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        decorated: Callable[[], None] = seed(number)(
            told(given(case=operation.as_strategy(generation_mode=mode))(send))
        )
        return decorated

    return decorate


def _send(operation: Any, mode: Any, examples: int, number: int, session: Any, url: str) -> int:
    checks = as_described()
    sent = 0

    @made(operation, mode, examples, number)
    def send(case: Any) -> None:
        nonlocal sent
        if {"timeout", "wait_for_completion"} & set(case.query or ()):
            case.query["timeout"] = TIMEOUT  # nothing here may wait on purpose
        answer = case.call(base_url=url, session=session)
        sent += 1
        if wrong := _wrong(answer):
            raise AssertionError(f"{'; '.join(wrong)}\n{case.as_curl_command()}")
        if not answer.content.strip() and "filter_path" in (case.query or ()):
            return  # a table of which nothing is left
        case.validate_response(answer, checks=checks)

    send()
    return sent


def _wrong(answer: Any) -> list[str]:
    """Return what rules an answer of schemathesis' breaks; `requests` has unpacked it."""
    sent = answer.request
    message = Message(str(sent.method).encode(), str(sent.path_url).encode())
    headers = {
        name.lower(): value
        for name, values in answer.headers.items()
        for value in values
        if name.lower() != "content-encoding"
    }
    return problems(message, Answer(answer.status_code, headers, answer.content))
