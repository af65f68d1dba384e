"""Settings: what wins over what, how text is read, what is refused and what is never shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.config import FAMILIAR, PREFIX, Settings, SettingsError


def test_the_defaults_are_a_service_on_loopback_over_an_embedded_node() -> None:
    """Nothing given means 127.0.0.1:9201 over an embedded 3.6.0, with a minute of patience."""
    settings = Settings.resolve({}, {})
    assert (settings.host, settings.port, settings.opensearch) == ("127.0.0.1", 9201, "embedded")
    assert (settings.opensearch_version, settings.wait, settings.data_dir) == ("3.6.0", 60.0, None)
    assert settings == Settings()


def test_flags_win_over_our_variables_and_those_over_familiar_ones() -> None:
    """A flag, then MLCOMMONS_TASKS_*, then what people export for their clients."""
    environment = {"MLCOMMONS_TASKS_OPENSEARCH": "http://ours:1", "OPENSEARCH_URL": "http://familiar:1"}
    assert Settings.resolve({"opensearch": "http://flag:1"}, environment).opensearch == "http://flag:1"
    assert Settings.resolve({"opensearch": None}, environment).opensearch == "http://ours:1"
    del environment["MLCOMMONS_TASKS_OPENSEARCH"]
    assert Settings.resolve({}, environment).opensearch == "http://familiar:1"
    assert Settings.resolve({}, {"OPENSEARCH_URL": ""}).opensearch == "embedded", "empty is not given"
    assert Settings.resolve({"insecure": False}, {"MLCOMMONS_TASKS_INSECURE": "1"}).insecure is False


def test_every_field_has_a_variable() -> None:
    """Each setting can be given in the environment, and comes out as its own type."""
    given: dict[str, Any] = {
        "host": "h",
        "port": 1,
        "opensearch": "embedded",
        "username": "u",
        "password": "p",
        "ca_file": Path("/ca"),
        "insecure": True,
        "opensearch_version": "3.8.0",
        "data_dir": Path("/data"),
        "cache_dir": Path.home() / "cache",
        "maven_url": "http://m",
        "wait": 1.5,
        "workers": 2,
        "threads": 3,
        "trainings": 4,
    }
    texts = {name: str(value) for name, value in given.items()} | {"cache_dir": "~/cache", "insecure": "yes"}
    settings = Settings.resolve({}, {PREFIX + name.upper(): text for name, text in texts.items()})
    found = dataclasses.asdict(settings)
    assert {name: found[name] for name in given} == given
    assert set(FAMILIAR.values()) == {"OPENSEARCH_URL", "OPENSEARCH_USERNAME", "OPENSEARCH_PASSWORD"}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("port", -1, "port must be between 0 and 65535, not -1"),
        ("port", 65536, "port must be between"),
        ("workers", 0, "workers must be at least 1"),
        ("threads", 0, "threads must be at least 1"),
        ("trainings", 0, "trainings must be at least 1"),
        ("wait", -0.1, "wait must not be negative"),
        ("wait", float("nan"), "wait must not be negative"),
        ("opensearch", "localhost:9200", "a URL such as"),
        ("opensearch", "http://", "a URL such as"),
        ("opensearch", "", "a URL such as"),
        ("opensearch", "http://[bad", "a URL such as"),
        ("opensearch", "http://h:port", "a URL such as"),
    ],
)
def test_what_cannot_work_is_refused_by_name(name: str, value: Any, sentence: str) -> None:
    """A bad value raises before anything is started."""
    with pytest.raises(SettingsError, match=sentence):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("variable", "text"),
    [("PORT", "many"), ("WAIT", "long"), ("INSECURE", "perhaps"), ("THREADS", "1.5")],
)
def test_text_that_is_no_value_is_refused_by_variable(variable: str, text: str) -> None:
    """The message names the variable and what it held."""
    with pytest.raises(SettingsError, match=f"{PREFIX}{variable} must be .*{text}"):
        Settings.resolve({}, {PREFIX + variable: text})


@pytest.mark.parametrize(("text", "value"), [("on", True), ("TRUE", True), ("no", False), ("0", False)])
def test_yes_and_no_have_many_words(text: str, value: bool) -> None:
    """Booleans are read as people write them."""
    assert Settings.resolve({}, {"MLCOMMONS_TASKS_INSECURE": text}).insecure is value


def test_a_password_is_not_shown() -> None:
    """Neither the record nor an error shows a password."""
    assert "hidden" not in repr(Settings(password="hidden"))
    with pytest.raises(SettingsError) as caught:
        Settings(opensearch="ftp://me:hidden@there")
    assert "hidden" not in str(caught.value)


def test_settings_do_not_change() -> None:
    """The record is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("opensearch", ["memory", "http://127.0.0.1:9200"])
def test_a_data_folder_without_a_node_of_ours_is_refused(opensearch: str) -> None:
    """Nobody thinks that data is kept where there is nothing that would keep it."""
    with pytest.raises(SettingsError, match="data_dir is the embedded node's"):
        Settings(opensearch=opensearch, data_dir=Path("/data"))
