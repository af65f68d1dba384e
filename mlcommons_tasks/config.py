"""The settings of a service: a frozen record, and how it is read. Nothing is read at import.

A flag wins over the environment, the environment over the default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from mlcommons_tasks import versions

EMBEDDED = "embedded"
MEMORY = "memory"
PREFIX = "MLCOMMONS_TASKS_"
#: What people already export for their clients.
FAMILIAR = {"opensearch": "OPENSEARCH_URL", "username": "OPENSEARCH_USERNAME", "password": "OPENSEARCH_PASSWORD"}
MAX_PORT = 65_535


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a service can be told.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 picks a free one.
        opensearch: `embedded`, `memory` or the URL of an OpenSearch 2.x or 3.x.
        username: the service's own account at OpenSearch.
        password: its password.
        ca_file: the certificates to trust for an https URL; without it the system's.
        insecure: do not verify OpenSearch's certificate.
        opensearch_version: the version of the embedded node.
        ml_commons_version: the version of ML Commons that is emulated, from 1.3 to 3.6.
        data_dir: where the embedded node keeps its data; without it in a temporary folder.
        cache_dir: where downloads are kept; without it in the user's cache folder.
        maven_url: a mirror of Maven Central.
        wait: seconds to wait for OpenSearch at start.
        workers: processes that answer requests.
        threads: threads of each.
        trainings: processes that train, per worker.
    """

    host: str = "127.0.0.1"
    port: int = 9201
    opensearch: str = EMBEDDED
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ca_file: Path | None = None
    insecure: bool = False
    opensearch_version: str = "3.6.0"
    ml_commons_version: str = versions.DEFAULT
    data_dir: Path | None = None
    cache_dir: Path | None = None
    maven_url: str | None = None
    wait: float = 60.0
    workers: int = 1
    threads: int = 32
    trainings: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is started."""
        if not 0 <= self.port <= MAX_PORT:
            raise SettingsError(f"port must be between 0 and {MAX_PORT}, not {self.port}")
        for name in ("workers", "threads", "trainings"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.wait >= 0:
            raise SettingsError(f"wait must not be negative, not {self.wait:g}")
        try:
            versions.profile_of(self.ml_commons_version)
        except versions.UnknownVersionError as error:
            known = f"a version of ML Commons from {versions.OLDEST} to {versions.NEWEST}"
            raise SettingsError(f"ml_commons_version must be {known}, not {self.ml_commons_version}") from error
        if self.data_dir is not None and self.opensearch != EMBEDDED:
            raise SettingsError(f"data_dir is the embedded node's: with opensearch {MEMORY} or a URL it has no meaning")
        if self.opensearch in (EMBEDDED, MEMORY):
            return
        try:
            parts = urlsplit(self.opensearch)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:  # what it is may hold a password
            raise SettingsError(f"opensearch must be {EMBEDDED}, {MEMORY} or a URL such as https://localhost:9200")

    @classmethod
    def resolve(cls, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Return the settings that `flags` (None means not given) and `environment` give.

        Raises:
            SettingsError: a value cannot be used.
        """
        values: dict[str, Any] = {}
        types = get_type_hints(cls)
        for field in dataclasses.fields(cls):
            if flags.get(field.name) is not None:
                values[field.name] = flags[field.name]
                continue
            for variable in (PREFIX + field.name.upper(), FAMILIAR.get(field.name, "")):
                if environment.get(variable):
                    values[field.name] = _converted(variable, environment[variable], types[field.name])
                    break
        return cls(**values)


def _converted(variable: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingsError(f"{variable} must be true or false, not {text}")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise SettingsError(f"{variable} must be a number, not {text}") from None
    return Path(text).expanduser() if kind == Path | None else text
