"""Strategies for bodies: what handlers take, the same with something broken, and bytes that are not what they claim."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from typing import Any, NamedTuple

import cbor2
import yaml
from hypothesis import strategies as st

from mlcommons_tasks.wire.smile import render_smile
from tests.conformance.generated import search_bodies

INDEX = "fuzz-points"  #: of twenty rows, for trainings that read
DEEP_QUERY = 60  #: much deeper ones end OpenSearch itself, by a StackOverflowError: with the plugin and without
_ROWS = [{"values": [{"column_type": "DOUBLE", "value": value}] * 2} for value in (1.0, 1.2, 9.0, 9.1)]
_COLUMNS = [{"name": name, "column_type": "DOUBLE"} for name in ("x", "y")]

#: Bodies that are taken, by what they are for.
SEARCHES: list[Any] = [
    {},
    {"query": {"match_all": {}}, "size": 2, "from": 1},
    {"query": {"bool": {"filter": [{"term": {"state": "COMPLETED"}}, {"range": {"create_time": {"gte": 0}}}]}}},
    {"_source": {"includes": ["state"], "excludes": ["error"]}, "sort": [{"create_time": {"order": "desc"}}]},
    {"aggs": {"states": {"terms": {"field": "state"}}}, "size": 0, "track_total_hits": True},
    {"query": {"query_string": {"query": "state:COMPLETED"}}, "highlight": {"fields": {"error": {}}}},
    {"pit": {"id": "x", "keep_alive": "1m"}, "search_after": [1, "a"], "collapse": {"field": "state"}},
]
TRAININGS: list[Any] = [
    {"parameters": {"centroids": 2, "iterations": 2}, "input_data": {"column_metas": _COLUMNS, "rows": _ROWS}},
    {
        "parameters": {"centroids": 2, "distance_type": "COSINE"},
        "input_index": [INDEX],
        "input_query": {"query": {"match_all": {}}, "size": 20, "_source": ["x", "y"]},
    },
    {"parameters": {"centroids": 2}, "input_query": {"query": {"match_all": {}}}, "input_index": ["missing"]},
    {"parameters": {"centroids": 3}, "text_docs": ["a"], "return_number": True, "target_response": ["b"]},
]
SETTINGS: list[Any] = [
    {"persistent": {"plugins.ml_commons.ml_task_timeout_in_seconds": 600}},
    {"transient": {"plugins": {"ml_commons": {"max_ml_task_per_node": 10}}}, "persistent": {}},
    {"persistent": {"plugins.ml_commons.task_dispatch_policy": None, "plugins.ml_commons.*": None}},
    {"persistent": {"plugins.ml_commons.trusted_url_regex": "^x", "plugins.ml_commons.jvm_heap_memory_threshold": 85}},
]
#: What reads well and means trouble in one parser or another.
HARD = [
    b"",
    b"{",
    b"}",
    b"nul",
    b'"text"',
    b"[]",
    b"1",
    b"null",
    b"NaN",
    b"-",
    b'{"a":1}{"b":2}',
    b'{"query":{"match_all":{}},"query":{"match_all":{}}}',
    b'{"parameters":{"centroids":2},"parameters":{"centroids":3}}',
    b'{"size":1e400}',
    b'{"size":' + b"9" * 5000 + b"}",
    b'{"size":0.' + b"1" * 3000 + b"}",
    b'{"size":1e-99999999999}',
    b'{"a":"\\ud800"}',
    b'{"\\ud800":1}',
    b'{"a":"\xc3\x28\xff"}',
    b'{"a":"\x00\x01"}',
    b'{"a":"\\u00"}',
    b"/* no */ {} // no",
    b"{'a':1}",
    b"{a:1,}",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"[" * 1_500,
    b"[" * 20_000,
    b'{"a":' * 1_200 + b"1" + b"}" * 1_200,
    b'{"query":' + b'{"bool":{"must":' * DEEP_QUERY + b'{"match_all":{}}' + b"}}" * DEEP_QUERY + b"}",
    b'{"parameters":' + b'{"a":' * 400 + b"1" + b"}" * 401,
    b'{"persistent":' + b'{"a":' * 600 + b"1" + b"}" * 601,
    b'{"input_data":' + b"[" * 900,
    b'{"' + b"k" * 60_000 + b'":1}',
    b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(2_000)) + b"}",
    b" " * 50_000,
    b"---\n? [a, b]\n: 1\n",
    b"---\na: &a [*a]\n",
    b"---\na: &a\n  b: *a\n",
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(8)),
    b"a: !!python/object/apply:os.system [id]\n",
    b"a: !!binary x\nb: 2021-01-01\nc: 0o7\nd: .nan\ne: 1:30\n",
    b"a: {b: [" * 300,
    b"- " * 3_000,
    b"%YAML 9.9\n---\n{}",
    b"a: 1\na: 2\n",
    b"\ta: 1",
    b"<<: 1\n",
    b"{? : ?}",
    b"\x81" * 2_000,
    b"\x9f" * 2_000,
    b"\xa1\x61a" * 2_000 + b"\x01",
    b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff",
    b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xd8\x1c\x81\xd8\x1d\x00",
    b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",
    b"\xa1\x61a\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xa1\x61a\xc5\x82\x1a\x7f\xff\xff\xff\x01",
    b"\xa1\x61a\xd8\x1e\x82\x01\x00",
    b"\xa1\x61a\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xa1\x61a\xc0\x61x",
    b"\xa1\x61a\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xa1\x61a\xd8\x23\x61(",
    b"\xa1\x61a\xc2\x59\x10\x00" + b"\xff" * 4_096,
    b"\xa1\x80\x01",
    b"\xa1\xa0\x01",
    b"\xa1\xf9\x7e\x00\xf9\x7c\x00",
    b"\xa1\x61a\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xa1\x62\xc3\x28\x01",
    b"\xa1\x61a\xd9\xd9\xf7\xf7",
    b"\xff",
    b":)\n\x05",
    b":)\n\x05\xfa\x80a\xfa\xfb",
    b":)\n\x05" + b"\xf8" * 3_000,
    b":)\n\xff\xfa\xfb",
    b"\x1f\x8b",
    b"\x1f\x8b\x08\x00" + b"\x00" * 20,
]
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+\-]*|true|false|null|[{}\[\]:,]')
ODD = st.sampled_from(
    [
        b"null", b"true", b'""', b"[]", b"{}", b"-1", b"0", b"1.5", b"1e400", b"9" * 30, b"9" * 5_000, b"NaN",
        b"-Infinity", b"0x10", b'"\\ud800"', b'"' + b"x" * 3_000 + b'"', b"[[[[]]]]", b"[null]", b'{"a":null}',
        b"2147483648", b"-9223372036854775809", b'"1"', b'"true"', b'"\xff"', b"", b",", b"}", b"]", b":", b'"', b"\\",
        b"\x00", b"/*", b"'", b"1e-5000000", b'{"_name":1}', b'"KMEANS"', b'["a","a"]', b'"\\u0000"', b"012", b"+1",
    ]
)  # fmt: skip
JSON_TEXT = st.text(max_size=8)
JSON_LIKE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), JSON_TEXT, st.sampled_from(["state", "a"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(JSON_TEXT, st.sampled_from(["query", "size", "parameters", "persistent", "_source", "sort"])),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


class Body(NamedTuple):
    """Bytes, and the headers that tell truly what they are; whoever sends them may say otherwise."""

    payload: bytes
    content_type: bytes = b"application/json"
    encoding: bytes | None = None


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return a text in which one or two tokens were replaced, left out or repeated, or the end was cut off."""
    for _ in range(draw(st.integers(1, 2))):
        tokens = list(_VALUE.finditer(whole))
        if not tokens:
            break
        at = tokens[draw(st.integers(0, len(tokens) - 1))]
        kind = draw(st.integers(0, 3))
        if kind <= 1:
            whole = whole[: at.start()] + draw(ODD) + whole[at.end() :]
        elif kind == 2:
            whole = whole[: at.end()] + at[0] + whole[at.end() :]
        else:
            whole = whole[: at.start()]
    return whole


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


_WRITERS = {
    b"application/cbor": cbor2.dumps,
    b"application/smile": render_smile,
    b"application/yaml": lambda value: yaml.safe_dump(value).encode(),
    b"application/json; charset=UTF-16": lambda value: json.dumps(value).encode("utf-16"),
    b"application/json; charset=ISO-8859-1": lambda value: json.dumps(value, ensure_ascii=False).encode(
        "latin-1", "replace"
    ),
}


def _other_format(pair: tuple[Any, bytes]) -> Body:
    value, kind = pair
    try:
        return Body(_WRITERS[kind](value), kind)
    except (ValueError, OverflowError, TypeError):  # a number that the format does not have
        return Body(_dumped(value))


def _packed(pair: tuple[Body, int]) -> Body:
    body, way = pair
    whole = gzip.compress(body.payload, 1, mtime=0)
    ways = [
        (whole, b"gzip"),
        (zlib.compress(body.payload), b"deflate"),
        (whole[: len(whole) // 2], b"gzip"),
        (whole[:-6] + b"\x00" * 6, b"gzip"),
        (body.payload, b"gzip"),
        (body.payload, b"deflate"),
        (gzip.compress(whole, mtime=0), b"gzip"),
        (whole + whole, b"gzip"),
        (whole + b"rest", b"gzip"),
        (whole, b"br"),
        (whole, b"identity"),
        (whole, b"gzip, gzip"),
        (whole, b"x-gzip"),
    ]
    payload, encoding = ways[way]
    return Body(payload, body.content_type, encoding)


def bodies(values: list[Any]) -> st.SearchStrategy[Body]:
    """Return bodies for a route that takes `values`, most of them broken in some way."""
    sound = st.sampled_from(values).map(_dumped)
    texts = st.one_of(
        sound,
        sound.flatmap(_damaged),
        sound.flatmap(_damaged),
        st.sampled_from(HARD),
        JSON_LIKE.map(_dumped),
        *([search_bodies()] if values is SEARCHES else []),
    ).map(Body)
    others = st.tuples(st.one_of(st.sampled_from(values), JSON_LIKE), st.sampled_from(list(_WRITERS))).map(
        _other_format
    )
    plain = st.one_of(texts, texts, others, st.binary(max_size=40).map(Body))
    return st.one_of(plain, plain, plain, st.tuples(plain, st.integers(0, 12)).map(_packed))
