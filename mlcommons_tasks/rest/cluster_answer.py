"""Where the cluster has the last word: its answer alone, or one of its answers for ours to be put into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from mlcommons_tasks.errors import IllegalArgument, ServerError, TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.proxy import ask
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.wire.cat_table import Table, View
from mlcommons_tasks.wire.filter_path import filtered
from mlcommons_tasks.wire.media_types import MediaType, of_format, of_media_type
from mlcommons_tasks.wire.parameters import decode
from mlcommons_tasks.wire.smile import HEADER as SMILE_HEADER

NOTHING_IN_YAML = "expected NodeEvent, but got <org.yaml.snakeyaml.events.DocumentEndEvent()>"
TEXT = "text/plain; charset=UTF-8"
#: What shapes an answer; OpenSearch is asked for plain JSON where ours is put into it.
SHAPING = ("format", "filter_path", "pretty")
#: What shapes a table besides.
TABLE_SHAPING = ("h", "s", "v", "ts", "time", "bytes", "size")


class ClusterAnswer(Exception):  # no error: a way out
    """The cluster answers this request alone."""


def readable() -> RestRequest:
    """Return the request in hand; what OpenSearch would refuse is left to it."""
    rest = RestRequest.current()
    try:
        rest.refuse_unreadable()
    except TaskPluginError as error:
        raise ClusterAnswer from error
    return rest


def cluster_json(upstream: Upstream, target: str, *, status: int = 200) -> Any:
    """Return the cluster's answer to the request in hand with another target; with another status it is all there is.

    Raises:
        ClusterAnswer: it has another status.
        StoreUnavailable: OpenSearch cannot be reached.
    """
    answer = ask(upstream, target)
    if answer.status != status:
        raise ClusterAnswer
    return json.loads(answer.payload)


def without(target: str, names: Iterable[str]) -> str:
    """Return a target without some parameters, the others as they were sent."""
    unwanted = set(names)
    path, mark, query = target.partition("?")
    if not mark or not unwanted:
        return target
    kept = [pair for pair in re.split("[&;]", query) if _name(pair) not in unwanted]
    return f"{path}?{'&'.join(kept)}" if kept else path


def with_parameters(target: str, parameters: Mapping[str, str]) -> str:
    """Return a target with more parameters."""
    return f"{target}{'&' if '?' in target else '?'}{urlencode(parameters)}"


def table_reply(rest: RestRequest, table: Table) -> Response:
    """Return a table as the request asks: plain text, or its rows as JSON or the like."""
    view = View.of(rest.parameters)
    if _is_structured(rest):
        rows = table.objects(view)
        wanted = rest.parameters.text("filter_path")
        return reply(rows) if not wanted or filtered(rows, wanted) else _nothing_left(rest)
    return Response(table.text(view), content_type=TEXT)


def _nothing_left(rest: RestRequest) -> Response:
    """Return what is sent of a list that is filtered away altogether: nothing, which YAML cannot say.

    Raises:
        ServerError: it should be YAML.
    """
    kind = rest.reply_type
    if kind is MediaType.YAML:
        raise ServerError(NOTHING_IN_YAML, type="emitter_exception")
    if kind is MediaType.SMILE:
        return Response(SMILE_HEADER, content_type=kind.value)
    is_pretty = kind is MediaType.JSON and rest.parameters.text("pretty") in ("", "true")
    return Response(b"\n" if is_pretty else b"", content_type=kind.value)


def _is_structured(rest: RestRequest) -> bool:
    if rest.parameters.has("format"):
        return of_format(rest.parameters.text("format")) is not None
    return of_media_type(request.headers.get("Accept")) is not None


def _name(pair: str) -> str:
    try:
        return decode(pair.lstrip("=").partition("=")[0], plus_is_space=True)
    except IllegalArgument:
        return pair
