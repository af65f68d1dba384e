"""Strategies for request targets: paths of emulated routes, odd ones beside them, and what may follow a `?`."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import strategies as st

ML = b"/_plugins/_ml"
TASK_IDS = [b"t-created", b"t-running", b"t-completed", b"t-odd", b"nope"]
ODD_SEGMENTS = [
    b"", b".", b"..", b"%2e", b"%2E%2e", b"%2F", b"a%2fb", b"%", b"%zz", b"%4", b"%C3%28", b"%FF", b"%00", b"%0d%0a",
    b"%ED%A0%80", b"+", b"a+b", b"%20", b"a;b=c", b"a%3Fb", b"a#b", b"\\", b"{a}", b"<a>", b"a|b", b"^", b"`", b"*",
    b"_search", b"_Search", b"_cancel", b"_all", b"%5Fsearch", b"a,b", b"-1", b"$x", b"${x}", b"~", b"@", b"a:b",
    b"%F0%9F%A6%86", "\u00e9".encode(), "\U0001f986".encode(), b"%u0041", b"x" * 513, b"%78" * 513, b"x" * 3_900,
    b"%c3%a9" * 600, b"<script>alert(1)</script>", b"%3Cscript%3E", b"'\"", b"node:1", b"node:4503599627370497", b":",
    b"node:99999999999999999999", b"a:b:c",
]  # fmt: skip
SEGMENTS = st.one_of(
    st.sampled_from(TASK_IDS),
    st.sampled_from(ODD_SEGMENTS),
    st.text(min_size=1, max_size=12).map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="").encode()),
)
NAMES = [
    "pretty", "human", "error_trace", "filter_path", "format", "source", "source_content_type", "async", "size", "v",
    "h", "s", "help", "bytes", "time", "actions", "detailed", "group_by", "nodes", "parent_task_id",
    "include_defaults", "flat_settings", "return_content", "master_timeout", "cluster_manager_timeout", "timeout",
    "routing", "refresh", "q", "typed_keys", "task_id", "algorithm", "foo", "full_id", "local",
]  # fmt: skip
VALUES = [
    "", "true", "false", "1", "-1", "0", "yes", "TRUE", "json", "yaml", "cbor", "smile", "JSON", "text", "nope",
    "application/json", "application/yaml", "application/cbor", "{}", '{"query":{"match_all":{}}}', '{"size":', "a,b",
    "nodes", "parents", "none", "*", "**", "hits.**", "-took", "a.b,-c", "*" * 40, "a" * 2_000, "%00", "%zz", "%",
    "%C3%28", "+", "100ms", "1s", "0", "1e3s", "999999999999d", "10micros", "node:1", "cluster*", "state,action",
    "nope:desc", "action:desc", "component", "\u00e9", "&&", "=", ";", "#", "[1]", "${x}", "error.**", "**.a.**.b",
]  # fmt: skip


def _pair(name: str, value: str | None) -> bytes:
    return (name if value is None else f"{name}={value}").encode("utf-8", "surrogatepass").replace(b" ", b"+")


PAIRS = st.one_of(
    st.builds(_pair, st.sampled_from(NAMES), st.one_of(st.none(), st.sampled_from(VALUES))),
    st.builds(_pair, st.sampled_from(NAMES), st.sampled_from(VALUES).map(lambda value: quote(value, safe=""))),
    st.builds(
        lambda name, value: b"%s=%s" % (quote(name).encode(), quote(value.encode("utf-8", "surrogatepass")).encode()),
        st.text(max_size=5).map(lambda text: text.encode("utf-8", "replace").decode()),
        st.text(max_size=8),
    ),
)
QUERIES = st.one_of(st.just(b""), st.just(b""), st.lists(PAIRS, max_size=4).map(lambda pairs: b"?" + b"&".join(pairs)))
FRAMES = [b"%s", b"%s", b"%s", b"%s/", b"%s//", b"%s?", b"%s??a", b"%s#x", b"%s;x", b"%s/.", b"%s%%20"]


def _filled(template: bytes, segments: list[bytes], frame: bytes, query: bytes) -> bytes:
    for segment in segments:
        template = template.replace(b"{}", segment, 1)
    return frame.replace(b"%%", b"%").replace(b"%s", template) + query


def targets(template: bytes) -> st.SearchStrategy[bytes]:
    """Return targets of one route; each `{}` of its path becomes a segment."""
    count = template.count(b"{}")
    if not count:
        return st.builds(_filled, st.just(template), st.just([]), st.sampled_from(FRAMES), QUERIES)
    return st.builds(
        _filled,
        st.just(template),
        st.lists(SEGMENTS, min_size=count, max_size=count),
        st.sampled_from(FRAMES),
        QUERIES,
    )


def garbage() -> st.SearchStrategy[bytes]:
    """Return targets below `/_plugins/_ml/` that mean nothing, or mean something only to a careless reader."""
    glue = st.sampled_from([b"/", b"//", b"/./", b"/../", b"%2f", b"\\", b""])
    parts = st.one_of(
        SEGMENTS, st.sampled_from([b"tasks", b"models", b"_train", b"_search", b"_cancel", b"stats", b"_TRAIN"])
    )
    tail = st.lists(st.tuples(glue, parts), max_size=4).map(lambda pairs: b"".join(a + b for a, b in pairs))
    return st.builds(lambda rest, query: ML + b"/" + rest + query, tail, QUERIES)
