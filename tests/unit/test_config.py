"""Settings: what wins over what, how text is read, what is refused and what is never shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.config import FAMILIAR, PREFIX, Settings, SettingsError, without_account
from mlcommons_tasks.store.endpoint import Endpoint


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
        "client_cert": Path("/cc"),
        "client_key": Path("/ck"),
        "timeout": 7.5,
        "cert": Path("/c"),
        "key": Path("/k"),
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
        ("seed", -1, "seed must not be negative"),
        ("timeout", 0, "timeout must be a number of seconds above 0"),
        ("timeout", float("inf"), "timeout must be"),
        ("timeout", float("nan"), "timeout must be"),
        ("key", Path("/k"), "key is of no use without cert"),
        ("client_key", Path("/k"), "client_key is of no use without client_cert"),
        ("opensearch", "http://one:9200,two:9200", "a URL such as"),
        ("opensearch", "http://one:9200,", "a URL such as"),
        ("opensearch", "http://one:9200?x=1", "a URL such as"),
        ("opensearch", "http://one:9200,https://two:9200", "must be of one cluster"),
        ("opensearch", "http://one:9200,http://two:9200/x", "must be of one cluster"),
        ("opensearch", "http://a:b@one:9200,http://two:9200", "must be of one cluster"),
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
    assert "hidden" not in repr(Settings(opensearch="https://me:hidden@there", maven_url="https://me:hidden@mirror"))
    endpoint = Endpoint.at("https://me:hidden@there:1/path/")
    assert "hidden" not in repr(endpoint)
    assert (endpoint.url, endpoint.username, endpoint.password) == ("https://there:1/path", "me", "hidden")
    assert without_account("https://me:hid/den@there/x") == "https://me:hid/den@there/x"
    assert without_account("https://me:hid@den@there/x@y") == "https://there/x@y"
    with pytest.raises(SettingsError) as caught:
        Settings(opensearch="ftp://me:hidden@there")
    assert "hidden" not in str(caught.value)


def test_an_account_in_urls_becomes_the_services() -> None:
    """It is taken out of each URL, decoded; another that is given wins whole."""
    both = "https://me:p%2C%40,x@one:9200, https://me:p%2C%40,x@two:9200/"
    settings = Settings(opensearch=both)
    assert settings.opensearch == "https://one:9200,https://two:9200"
    assert (settings.username, settings.read_password()) == ("me", "p,@,x")
    other = Settings(opensearch=both, username="you")
    assert (other.username, other.password) == ("you", None)
    assert Settings(opensearch=both, password="mine").password == "mine"


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    """A flag for either wins over the environment's for both; two of the same kind are refused."""
    secret = tmp_path / "secret"
    secret.write_text(" p ä \n", "utf-8")
    environment = {"OPENSEARCH_PASSWORD": "familiar"}
    assert Settings.resolve({"password_file": secret}, environment).read_password() == " p ä "
    environment = {"MLCOMMONS_TASKS_PASSWORD_FILE": str(secret)}
    assert Settings.resolve({}, environment).read_password() == " p ä "
    assert Settings.resolve({"password": "flag"}, environment).read_password() == "flag"
    with pytest.raises(SettingsError, match="cannot both be given"):
        Settings.resolve({}, {**environment, "OPENSEARCH_PASSWORD": "familiar"})


def test_settings_do_not_change() -> None:
    """The record is frozen."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("opensearch", ["memory", "http://127.0.0.1:9200"])
def test_a_data_folder_without_a_node_of_ours_is_refused(opensearch: str) -> None:
    """Nobody thinks that data is kept where there is nothing that would keep it."""
    with pytest.raises(SettingsError, match="data_dir is the embedded node's"):
        Settings(opensearch=opensearch, data_dir=Path("/data"))
