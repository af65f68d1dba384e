"""The settings of a service: a frozen record, and how it is read. Nothing is read at import.

A flag wins over the environment, the environment over the default.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import unquote, urlsplit

from mlcommons_tasks import versions

EMBEDDED = "embedded"
MEMORY = "memory"
PREFIX = "MLCOMMONS_TASKS_"
#: What people already export for their clients.
FAMILIAR = {"opensearch": "OPENSEARCH_URL", "username": "OPENSEARCH_USERNAME", "password": "OPENSEARCH_PASSWORD"}
MAX_PORT = 65_535
SHORTEST_LEASE_S = 1.0
#: Milliseconds in OpenSearch's units of time.
UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
#: Of these two the environment gives neither where a flag gives one.
PASSWORDS = frozenset({"password", "password_file"})


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names it."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a service can be told.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 picks a free one.
        opensearch: `embedded`, `memory` or the URL of an OpenSearch 2.x or 3.x; several, with commas between, if its
            nodes have one each. An account in it becomes `username` and `password`.
        username: the service's own account at OpenSearch.
        password: its password.
        password_file: a file with nothing but its password.
        ca_file: the certificates to trust for an https URL; without it the system's.
        insecure: do not verify OpenSearch's certificate.
        client_cert: the certificate that is shown to OpenSearch.
        client_key: its key, unless that is in the same file.
        identity_headers: names of headers, with commas between, by which a proxy in front says who calls, such as that
            of a checked client certificate; others of that kind are not passed on.
        timeout: seconds that OpenSearch may stay silent while it owes an answer.
        cert: the certificate that is shown to callers; with it the service speaks https.
        key: its key, unless that is in the same file.
        opensearch_version: the version of the embedded node.
        ml_commons_version: the version of ML Commons that is emulated, from 1.3 to 3.6.
        data_dir: where the embedded node keeps its data; without it in a temporary folder.
        cache_dir: where downloads are kept; without it in the user's cache folder.
        maven_url: a mirror of Maven Central.
        wait: seconds to wait for OpenSearch at start.
        workers: processes that answer requests.
        threads: threads of each.
        fast_lane: answer polls and plain searches of tasks before they reach a thread, where nobody has to prove who
            they are; the answers are the same.
        trainings: processes that train, per worker; with `dask` how many jobs a worker has there at the same time.
        dask: the address of the scheduler of a Dask cluster that trains and predicts, such as tcp://10.0.0.5:8786;
            without it processes on this machine do.
        seed: what makes every training repeatable; without it each is another, as the plugin's are.
        queue: trainings that may wait for their turn, per worker; more are refused as the plugin refuses them.
        grace: seconds that trainings may take to end once the service is told to stop.
        lease: seconds after which the trainings of a process that says nothing any more are taken over by another.
        retain: how long tasks that are over are kept, such as 7d, 12h or 30m; without it for good.
        emulator: whether scenarios, faults, a journal and namespaces are to be had under `/_emulator/`; by default
            over an embedded node or in memory on a loopback address, and elsewhere if there is an `emulator_token`.
        emulator_token: what every call under `/_emulator/` has to show.
        scenarios: a file with scenarios and faults, or a folder of such, to begin with.
    """

    host: str = "127.0.0.1"
    port: int = 9201
    opensearch: str = EMBEDDED
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None
    identity_headers: str | None = None
    timeout: float = 120.0
    cert: Path | None = None
    key: Path | None = None
    opensearch_version: str = "3.6.0"
    ml_commons_version: str = versions.DEFAULT
    data_dir: Path | None = None
    cache_dir: Path | None = None
    maven_url: str | None = dataclasses.field(default=None, repr=False)  # it may hold a password
    wait: float = 60.0
    workers: int = 1
    threads: int = 32
    fast_lane: bool = True
    trainings: int = 2
    dask: str | None = None
    seed: int | None = None
    queue: int = 10_000
    grace: float = 2.0
    lease: float = 15.0
    retain: str | None = None
    emulator: bool | None = None
    emulator_token: str | None = dataclasses.field(default=None, repr=False)
    scenarios: Path | None = None
    #: Whether the OpenSearch was started for this service alone.
    is_own: bool = dataclasses.field(default=False, repr=False, metadata={"derived": True})
    #: Whether another process may be told something that this one has to know: where it is not the only one.
    shares_emulation: bool = dataclasses.field(default=True, repr=False, metadata={"derived": True})

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is started."""
        if not 0 <= self.port <= MAX_PORT:
            raise SettingsError(f"port must be between 0 and {MAX_PORT}, not {self.port}")
        for name in ("workers", "threads", "trainings"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("wait", "queue", "grace", "seed"):
            if not (getattr(self, name) or 0) >= 0:
                raise SettingsError(f"{name} must not be negative, not {getattr(self, name):g}")
        if not SHORTEST_LEASE_S <= self.lease < math.inf:
            raise SettingsError(f"lease must be a number of seconds from {SHORTEST_LEASE_S:g}, not {self.lease:g}")
        if not 0 < self.timeout < math.inf:
            raise SettingsError(f"timeout must be a number of seconds above 0, not {self.timeout:g}")
        try:
            versions.profile_of(self.ml_commons_version)
        except versions.UnknownVersionError as error:
            known = f"a version of ML Commons from {versions.OLDEST} to {versions.NEWEST}"
            raise SettingsError(f"ml_commons_version must be {known}, not {self.ml_commons_version}") from error
        if self.data_dir is not None and self.opensearch != EMBEDDED:
            raise SettingsError(f"data_dir is the embedded node's: with opensearch {MEMORY} or a URL it has no meaning")
        if self.dask is not None and not re.fullmatch(r"[a-z]+://[^\s/@]+:[0-9]{1,5}", self.dask):
            raise SettingsError(f"dask must be a scheduler's address, such as tcp://10.0.0.5:8786, not {self.dask}")
        self._check_files()
        _ = self.retain_in_millis
        self._check_emulator()
        if self.opensearch not in (EMBEDDED, MEMORY):
            self._take_account_out()

    @property
    def retain_in_millis(self) -> int | None:
        """How long tasks that are over are kept, in milliseconds; None for good.

        Raises:
            SettingsError: it is no such time.
        """
        if self.retain is None:
            return None
        found = re.fullmatch(r"([1-9][0-9]{0,8})(d|h|m|s|ms)", self.retain)
        if found is None:
            wanted = "a whole number above 0 with d, h, m, s or ms, such as 7d, 12h or 30m"
            raise SettingsError(f"retain must be {wanted}, not {self.retain}")
        return int(found[1]) * UNITS[found[2]]

    def _check_emulator(self) -> None:
        if self.emulator is False and (self.emulator_token is not None or self.scenarios is not None):
            raise SettingsError("emulator_token and scenarios are of no use without the emulator")
        if self.emulator and not self._has_safe_emulator:
            raise SettingsError(
                "the emulator needs an emulator_token over a given opensearch, and on a host that others reach"
            )

    @property
    def _has_safe_emulator(self) -> bool:
        """Whether only this machine reaches an emulator over an OpenSearch of its own, or whoever has the token."""
        is_own = self.is_own or self.opensearch in (EMBEDDED, MEMORY)
        return self.emulator_token is not None or (is_own and is_loopback(self.host))

    def _check_files(self) -> None:
        if self.password is not None and self.password_file is not None:
            raise SettingsError("password and password_file cannot both be given")
        for cert, key in (("client_cert", "client_key"), ("cert", "key")):
            if getattr(self, key) is not None and getattr(self, cert) is None:
                raise SettingsError(f"{key} is of no use without {cert}")

    def _take_account_out(self) -> None:
        """Keep the URL, which is shown, without the account, which is not."""
        urls, account = addresses(self.opensearch)
        object.__setattr__(self, "opensearch", ",".join(urls))
        if account is not None and self.username in (None, account.username):
            object.__setattr__(self, "username", account.username)
            if self.password_file is None:
                object.__setattr__(self, "password", self.password or account.password)

    def over(self, url: str) -> Settings:
        """Return the settings of a service over the OpenSearch that was started as these settings say.

        One of its own, on this machine alone, has an emulator without a token.

        Raises:
            SettingsError: there are scenarios, and no emulator.
        """
        is_own = self.opensearch in (EMBEDDED, MEMORY)
        emulator = self._has_safe_emulator if self.emulator is None else self.emulator
        if self.scenarios is not None and not emulator:
            raise SettingsError("scenarios need the emulator, and that an emulator_token: others reach this service")
        shares = not is_own or self.workers > 1 or self.data_dir is not None  # which outlives the process
        return dataclasses.replace(
            self, opensearch=url, data_dir=None, is_own=is_own, emulator=emulator, shares_emulation=shares
        )

    def read_password(self) -> str | None:
        """Return the account's password, from its file if it is in one.

        Raises:
            SettingsError: the file cannot be read, or is empty.
        """
        if self.password_file is None:
            return self.password
        try:
            password = self.password_file.read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"password_file {self.password_file} cannot be read: {reason}") from None
        if not password:
            raise SettingsError(f"password_file {self.password_file} is empty")
        return password

    @classmethod
    def resolve(cls, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Return the settings that `flags` (None means not given) and `environment` give.

        Raises:
            SettingsError: a value cannot be used.
        """
        values: dict[str, Any] = {}
        types = get_type_hints(cls)
        decided = PASSWORDS if any(flags.get(name) is not None for name in PASSWORDS) else frozenset()
        for field in dataclasses.fields(cls):
            if field.metadata.get("derived"):
                continue
            if flags.get(field.name) is not None:
                values[field.name] = flags[field.name]
            if flags.get(field.name) is not None or field.name in decided:
                continue
            for variable in (PREFIX + field.name.upper(), FAMILIAR.get(field.name, "")):
                if environment.get(variable):
                    values[field.name] = _converted(variable, environment[variable], types[field.name])
                    break
        return cls(**values)


class Account(NamedTuple):
    """A user of OpenSearch; has no text, so that none is shown."""

    username: str | None
    password: str | None

    def __repr__(self) -> str:
        return "Account(…)"


def without_account(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"//[^/?#]*@", "//", url)


def addresses(text: str) -> tuple[tuple[str, ...], Account | None]:
    """Return the URLs that a text has, with commas between, and the account in them, which is taken out.

    Raises:
        SettingsError: one is no URL, or they differ in more than host and port. What they are is not said: they may
            hold a password.
    """
    found = [_address(url.strip()) for url in re.split(r",(?=\s*https?://)", text)]
    alike = {(scheme, path, account) for scheme, _, path, account in found}
    if len(alike) > 1:
        raise SettingsError(
            "several URLs of opensearch must be of one cluster: all http or all https, with one path and one account"
            " (give it to each, or as username and password)"
        )
    urls = dict.fromkeys(f"{scheme}://{netloc}{path}" for scheme, netloc, path, _ in found)
    return tuple(urls), found[0][3]


def _address(url: str) -> tuple[str, str, str, Account | None]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"[\s,]", parts.netloc.rpartition("@")[2]):
        raise SettingsError(
            f"opensearch must be {EMBEDDED}, {MEMORY}, a URL such as https://localhost:9200, or several with commas"
            " between"
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else f"{parts.hostname}"
    port = f":{parts.port}" if parts.port else ""
    account = None
    if parts.username is not None:
        account = Account(unquote(parts.username) or None, unquote(parts.password or "") or None)
    return parts.scheme, f"{host}{port}", parts.path.rstrip("/"), account


def is_loopback(host: str) -> bool:
    """Say whether an address is one that only this machine reaches."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _converted(variable: str, text: str, kind: Any) -> Any:
    if kind in (bool, bool | None):
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingsError(f"{variable} must be true or false, not {text}")
    if kind in (int, float, int | None):
        try:
            return float(text) if kind is float else int(text)
        except ValueError:
            raise SettingsError(f"{variable} must be a number, not {text}") from None
    return Path(text).expanduser() if kind == Path | None else text
