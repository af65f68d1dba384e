"""The machinery that compares with the recordings must itself notice what it is there to notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import cases, json_spans, recordings
from tests.conformance.compare import canonical, differences
from tests.conformance.player import Reply
from tests.conformance.references import References

ID = "MsBi1YsB0jLkkocYjD5f"
OTHER = "l7lamX8BO5w8y8Ra2oty"
NODE = "54xOe0w8Qjyze00UuLDfdA"


def reply(text: str = "{}", status: int = 200, **headers: str) -> Reply:
    return Reply("GET /x", status, {"Content-Type": "application/json; charset=UTF-8", **headers}, text)


def what(expected: Reply, actual: Reply) -> list[str]:
    return [difference.what for difference in differences([expected], [actual])]


def written(tmp_path: Path, *found: dict) -> Path:
    (tmp_path / "topic.json").write_text(json.dumps(found))
    return tmp_path


def test_equal_replies_have_no_difference():
    """The same twice is no difference."""
    assert what(reply('{"a":1}'), reply('{"a":1}')) == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":{"b":1,"c":2}}', '{"a":{"c":2,"b":1}}'),
        ('{"a":1}', '{"a":1.5}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
        ('{"a":1}', '{"a":1,"b":2}'),
        ('{"a":null}', "{}"),
        ('{"_source":{"a":1}}', '{"_source":{"a":2}}'),
        ("---\na: 1\n", "---\na: 2\n"),
    ],
)
def test_another_body_is_detected(expected: str, actual: str):
    """Key order, types, list order, missing and added keys all count."""
    assert what(reply(expected), reply(actual)) == ["body"]


@pytest.mark.parametrize(
    ("expected", "actual"), [('{"a":1}', '{\n  "a" : 1\n}\n'), ('{"a":1.0E10}', '{"a":1e10}'), ('"é"', '"\\u00e9"')]
)
def test_the_same_values_in_another_text_are_detected(expected: str, actual: str):
    """Layout, the form of numbers and escapes are part of the text."""
    assert what(reply(expected), reply(actual)) == ["body, same values in another text"]


def test_key_order_inside_a_source_does_not_count():
    """Source filtering serialises again, so only the values are promised."""
    expected = '{"hits":{"hits":[{"_id":"a","_source":{"x":1,"y":{"p":1,"q":2}}}]}}'
    actual = '{"hits":{"hits":[{"_id":"a","_source":{"y":{"q":2,"p":1},"x":1}}]}}'

    assert what(reply(expected), reply(actual)) == []
    assert what(reply(expected), reply(actual.replace('"_id":"a",', ""))) == ["body"]


def test_another_status_is_detected():
    """A status of another number is a difference."""
    assert what(reply(), reply(status=400)) == ["status"]


def test_other_headers_are_detected():
    """So is a header that is missing, added or other."""
    assert what(reply(Allow="GET"), reply()) == ["header Allow"]
    assert what(reply(), reply(Warning="299 x")) == ["header Warning"]
    assert what(reply(Allow="GET"), reply(Allow="POST")) == ["header Allow"]


def test_other_bytes_are_detected():
    """A body that is not text is compared as bytes."""
    assert what(Reply("GET /x", 200, {}, None, "AAE="), Reply("GET /x", 200, {}, None, "AAI=")) == ["bytes"]


def test_a_missing_reply_is_detected():
    """A case that stops early is a difference."""
    assert [found.what for found in differences([reply(), reply()], [reply()])] == ["number of replies"]


def test_the_same_id_twice_is_the_same_reference():
    """An id keeps its number through the case, and another id gets another one."""
    references = References("")

    assert references.apply(f'{{"task_id":"{ID}"}}') == '{"task_id":"<id:1>"}'
    assert references.apply(f'{{"model_id":"{OTHER}","_id":"{ID}"}}') == '{"model_id":"<id:2>","_id":"<id:1>"}'


def test_a_broken_identity_is_detected():
    """Where the plugin shows one id twice, two ids are a difference."""
    same, other = References(""), References("")
    expected = [reply(same.apply(f'{{"task_id":"{ID}"}}')), reply(same.apply(f'{{"_id":"{ID}"}}'))]
    actual = [reply(other.apply(f'{{"task_id":"{ID}"}}')), reply(other.apply(f'{{"_id":"{OTHER}"}}'))]

    found = differences(expected, actual)

    assert [difference.step for difference in found] == [2]
    assert "<id:1>" in str(found[0])
    assert "<id:2>" in str(found[0])


def test_an_id_inside_a_longer_text_is_the_same_reference():
    """Reasons name ids, and so do paths."""
    references = References("")
    references.know(ID)

    assert references.apply(f'{{"reason":"no [{ID}]"}}') == '{"reason":"no [<id:1>]"}'


def test_what_the_case_sent_is_no_reference():
    """A stored value must come back as it was."""
    text = f'{{"model_id":"{ID}","create_time":1647545342556,"model_content":"AAEC"}}'
    references = References(text)

    assert references.apply(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"create_time":"1647545342556"}',
        '{"create_time":1647545342}',
        '{"task_id":"short"}',
        '{"worker_node":"n1"}',
        '{"took":"5"}',
    ],
)
def test_a_value_of_another_shape_is_no_reference(text: str):
    """A time as text, seconds for millis or a made-up id stay, and so differ from the recording."""
    assert References("").apply(text) == text


def test_times_and_nodes_become_references():
    """A list of nodes and both times are numbered each among themselves."""
    text = f'{{"worker_node":["{NODE}"],"create_time":1647545342556,"last_update_time":1647545342587}}'

    assert References("").apply(text) == (
        '{"worker_node":["<node:1>"],"create_time":"<create_time:1>","last_update_time":"<last_update_time:1>"}'
    )


def test_volatile_paths_and_patterns():
    """What a case declares volatile is replaced, and nothing beside it."""
    text = '{"a":[{"b":1,"c":2},{"b":3,"c":4}],"d":"x@1f2e"}'

    found = References("").apply(text, {"a[*].b": "why"}, ({"pattern": "@[0-9a-f]+", "with": "@<hash>"},))

    assert found == '{"a":[{"b":"<volatile>","c":2},{"b":"<volatile>","c":4}],"d":"x@<hash>"}'


@pytest.mark.parametrize("text", ["", "---\na: 1\n", '{"a":', '{"a":1} x', "{'a':1}", "[1,]", "nope"])
def test_what_is_not_json_is_left_alone(text: str):
    """Other texts have no spans."""
    assert json_spans.parse(text) is None
    assert canonical(text) == text


@pytest.mark.parametrize("text", ['{"a":{"b":[1,-2.5e3,"x\\"y",true,null,{}]},"c":[]}', ' { "a" : [ ] } ', "1", '"x"'])
def test_rewriting_nothing_changes_nothing(text: str):
    """The spans cover the text as it is."""
    node = json_spans.parse(text)

    assert node is not None
    assert json_spans.rewrite(text, node, lambda _: None) == text


def test_select():
    """A path reaches into objects and lists, and misses softly."""
    value = {"hits": {"hits": [{"_id": "a"}]}}

    assert json_spans.select(value, "hits.hits[0]._id") == "a"
    assert json_spans.select(value, "hits.hits[1]._id") is None
    assert json_spans.select(None, "a") is None


def test_placeholders():
    """Saved values and repeated characters fill a path."""
    assert cases.fill("/t/${task}/${a*3}", {"task": "x"}) == "/t/x/aaa"
    with pytest.raises(cases.CaseError):
        cases.fill("/${nope}", {})


@pytest.mark.parametrize(
    "case",
    [
        {"name": "a", "steps": [{"request": "GET /", "jsn": {}}]},
        {"name": "a", "step": [], "steps": [{"request": "GET /"}]},
        {"name": "a", "steps": ["no_such_setup"]},
        {"name": "a", "steps": [{"request": "GET"}]},
        {"name": "a", "steps": [{"request": "GET /", "compare": False, "because": "x"}]},
        {"name": "a", "steps": [{"request": "GET /"}, {"request": "GET /", "compare": False}]},
    ],
)
def test_a_wrong_case_is_refused(tmp_path: Path, case: dict):
    """A misspelt key must not silently compare less."""
    with pytest.raises(cases.CaseError):
        cases.load("topic", written(tmp_path, case))


def test_names_are_unique(tmp_path: Path):
    """Two cases of one name would share a recording."""
    case = {"name": "a", "steps": [{"request": "GET /"}]}
    with pytest.raises(cases.CaseError, match="twice"):
        cases.load("topic", written(tmp_path, case, case))


def test_a_recording_keeps_every_body(tmp_path: Path):
    """Written and read again, a reply is the same: JSON, other texts, no text, nothing."""
    steps = [{"request": f"GET /{number}"} for number in range(5)]
    (case,) = cases.load("topic", written(tmp_path, {"name": "a", "steps": steps}))
    bodies = ['{"a":"é"}', '{\n  "a" : 1.0E10\n}\n', "---\na: 1\n", ""]
    replies = [Reply(f"GET /{n}", 200, {"Allow": "GET"}, body) for n, body in enumerate(bodies)]
    replies.append(Reply("GET /4", 406, {}, None, "AAE="))

    about = {"recorded": "2026-01-01", "opensearch": "3.6.0", "ml_commons": "3.6.0.0"}
    recordings.write("topic", tmp_path / "out", about, [(case, replies)])

    assert recordings.read("topic", tmp_path / "out").replies(case) == replies


def test_a_case_without_its_recording_fails(tmp_path: Path):
    """Neither a new case nor a changed one passes unrecorded."""
    (case,) = cases.load("topic", written(tmp_path, {"name": "a", "steps": [{"request": "GET /"}]}))
    with pytest.raises(recordings.NotRecordedError, match="no recording"):
        recordings.read("topic", tmp_path / "out").replies(case)

    recordings.write(
        "topic", tmp_path / "out", {"recorded": "", "opensearch": "", "ml_commons": ""}, [(case, [reply()])]
    )
    (changed,) = cases.load("topic", written(tmp_path, {"name": "a", "steps": [{"request": "GET /b"}]}))

    with pytest.raises(recordings.NotRecordedError, match="changed"):
        recordings.read("topic", tmp_path / "out").replies(changed)


def test_a_case_says_which_versions_it_is_for(tmp_path):
    case = {"name": "a", "versions": ">=3.0", "because": "2.x never answers", "steps": [{"request": "GET /"}]}
    folder = written(tmp_path, case)

    assert cases.load("topic", folder, version="2.19.1") == []
    assert len(cases.load("topic", folder, version="3.0.0")) == len(cases.load("topic", folder)) == 1


@pytest.mark.parametrize("more", [{"versions": "3.0", "because": "why"}, {"versions": ">=3.0"}])
def test_versions_without_a_sign_or_a_reason_are_refused(tmp_path, more):
    with pytest.raises(cases.CaseError, match="versions"):
        cases.load("topic", written(tmp_path, {"name": "a", **more, "steps": [{"request": "GET /"}]}))


@pytest.mark.parametrize("version", recordings.VERSIONS)
def test_every_case_is_recorded(version):
    """The repository holds a recording for each of its cases, and none besides."""
    folder = recordings.RECORDINGS / version
    for topic in cases.topics():
        found = recordings.read(topic, folder)
        for case in cases.load(topic, version=version):
            assert len(found.replies(case)) == len(case.compared)
        assert set(found.cases) == {case.name for case in cases.load(topic, version=version)}
    assert {path.stem for path in folder.glob("*.json")} == {
        topic for topic in cases.topics() if cases.load(topic, version=version)
    }
