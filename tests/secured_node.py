"""A real secured OpenSearch, started by the tests themselves: its certificates, its accounts and what they may do.

The security plugin's own `roles.yml` stays as it is distributed, `ml_read_access` and `ml_full_access` with it;
accounts and a few roles are added. Passwords are made anew at every start.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import trustme
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from mlcommons_tasks.node.assembly import assemble
from mlcommons_tasks.node.distribution import Distribution, Kind, fetch
from mlcommons_tasks.node.process import EmbeddedNode
from mlcommons_tasks.node.security import PLUGIN, Security
from tests.clients import Answer, Client
from tests.services import wait_until

VERSION = "3.4.0"
READY_S = 120.0
AUTHINFO = "/_plugins/_security/authinfo"
#: What operators are told to do for the service's account: what is documented is what is tested.
DOCUMENTED = Path(__file__).parents[1] / "docs" / "secured-cluster"
#: As the plugin's demo configuration protects them, where ML Commons is.
SYSTEM_INDICES = {
    "plugins.security.system_indices.enabled": True,
    "plugins.security.system_indices.indices": [".plugins-ml-model", ".plugins-ml-task"],
}

Role = Mapping[str, Any]


def role(*cluster: str, **indices: Iterable[str]) -> dict[str, Any]:
    """Return a role: cluster permissions, and what is allowed on indices by their patterns."""
    permissions = [
        {"index_patterns": [pattern], "allowed_actions": list(actions)} for pattern, actions in indices.items()
    ]
    return {"reserved": False, "cluster_permissions": list(cluster), "index_permissions": permissions}


#: What the plugin's distribution does not have.
ROLES: Mapping[str, Role] = {
    "reads_iris": role(iris=["read"]),
    "own_data": role("cluster_composite_ops", **{"mine*": ["crud", "create_index", "manage"]}),
    "tasks_viewer": role("cluster:monitor/tasks/lists", "cluster:monitor/task/get"),
    "tasks_canceller": role("cluster:monitor/tasks/lists", "cluster:monitor/task/get", "cluster:admin/tasks/cancel"),
    "incomplete": role(),  # a test gives it more
    "ml_by_groups": role("ml_lookers"),
    "ml_by_wildcards": role("cluster:admin/opensearch/ml/tasks/*", "cluster:admin/opensearch/ml/?odels/get"),
}
ACTION_GROUPS: Mapping[str, Any] = {
    "ml_lookers": {"reserved": False, "type": "cluster", "allowed_actions": ["ml_getters", "ml_searchers"]},
    "ml_getters": {"reserved": False, "type": "cluster", "allowed_actions": ["cluster:admin/opensearch/ml/*/get"]},
    "ml_searchers": {
        "reserved": False,
        "type": "cluster",
        "allowed_actions": ["cluster:admin/opensearch/ml/tasks/search", "cluster:admin/opensearch/ml/models/search"],
    },
}
#: Who there is, and which roles they have. Everybody has `own_index`, too, as the plugin's sample has it.
USERS: Mapping[str, tuple[str, ...]] = {
    "admin": ("all_access",),
    "service": ("mlcommons_tasks_service",),
    "ml_full": ("ml_full_access", "reads_iris"),
    "ml_read": ("ml_read_access",),
    "no_ml": ("own_data",),
    "no_source": ("ml_full_access",),
    "tasks_viewer": ("tasks_viewer",),
    "tasks_canceller": ("tasks_canceller",),
    "incomplete": ("incomplete",),
    "ml_grouped": ("ml_by_groups",),
    "ml_wild": ("ml_by_wildcards",),
    "nobody": (),
}


@dataclass(frozen=True)
class Account:
    """Who sends a request."""

    name: str
    password: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"{self.name}:{self.password}".encode()).decode()}

    @property
    def environment(self) -> dict[str, str]:
        """What makes it the service's own account."""
        return {"OPENSEARCH_USERNAME": self.name, "OPENSEARCH_PASSWORD": self.password}


class CallerClient(Client):
    """A client with an account, or without one, for https as well."""

    def __init__(self, url: str, account: Account | None, ca_file: Path | None = None) -> None:
        super().__init__(url)
        self.account = account
        self._context = ssl.create_default_context(cafile=ca_file) if urlsplit(url).scheme == "https" else None

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        own = self.account.headers if self.account else {}
        if self._context is None:
            return super().send(method, path, body, {**own, **(headers or {})})
        payload = json.dumps(body).encode() if isinstance(body, dict) else body
        wanted = {"Content-Type": "application/json"} if body is not None else {}
        connection = http.client.HTTPSConnection(self.netloc, timeout=self.timeout_s, context=self._context)
        with contextlib.closing(connection):
            connection.request(method, path, payload, {**wanted, **own, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())


@dataclass
class SecuredNode:
    """A running one."""

    node: EmbeddedNode
    ca_file: Path
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return self.node.url

    @property
    def administrator(self) -> Path:
        """A certificate, with its key, that may do everything."""
        return self.ca_file.with_name("administrator.pem")

    @property
    def callers(self) -> dict[str, Account | None]:
        """Everybody who may come along: the accounts, one with a wrong password, and one without any."""
        return {
            **{name: self.account(name) for name in self.passwords},
            "wrong_password": Account("admin", "not the one"),
            "unknown": Account("stranger", "whatever"),
            "anonymous": None,
        }

    def account(self, name: str) -> Account:
        return Account(name, self.passwords[name])

    def client(self, name: str, url: str | None = None) -> CallerClient:
        """Return a client of the node, or of what stands before it at `url`, for one of `callers`."""
        return CallerClient(url or self.url, self.callers[name], self.ca_file)

    def change_role(self, name: str, changed: Role) -> None:
        """Give a role other permissions, which count once this returns."""
        body = {key: value for key, value in changed.items() if key != "reserved"}
        self.client("admin").ok("PUT", f"/_plugins/_security/api/roles/{name}", body)


@contextlib.contextmanager
def secured_node(
    version: str = VERSION,
    kind: Kind = Kind.SECURITY,
    *,
    java: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[SecuredNode]:
    """Run a secured node for the length of a block; it ends with this process.

    Its `settings` are by default those that are documented, with system indices protected.
    """
    if settings is None:
        settings = {**SYSTEM_INDICES, **documented("opensearch")}
    distribution = fetch(version, kind, java=java)
    passwords = {name: secrets.token_urlsafe(12) for name in USERS}
    with tempfile.TemporaryDirectory(prefix="secured-") as name:
        folder = Path(name)
        administrator = write_certificates(folder)
        settings = {"plugins.security.authcz.admin_dn": [administrator], **settings}
        write_configuration(folder / "config", distribution, passwords)
        security = Security(
            folder / "node.pem", folder / "node-key.pem", folder / "ca.pem", folder / "config", settings
        )
        with EmbeddedNode(distribution, security=security) as node:
            running = SecuredNode(node, folder / "ca.pem", passwords)
            admin = running.client("admin")
            wait_until(lambda: admin.send("GET", AUTHINFO).status == 200, what=AUTHINFO)
            yield running


def write_certificates(folder: Path) -> str:
    """Make an authority, a certificate of it for this machine, and an administrator's; return whose that is."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    (folder / "node-key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(folder / "node.pem"), append=True)
    administrator = authority.issue_cert("admin@example.org", common_name="administrator")
    administrator.private_key_and_cert_chain_pem.write_to_path(str(folder / "administrator.pem"))
    subject = load_pem_x509_certificate(administrator.cert_chain_pems[0].bytes()).subject
    return subject.rfc4514_string()


def write_configuration(folder: Path, distribution: Distribution, passwords: Mapping[str, str]) -> None:
    """Write the files of the security plugin that differ from its own samples."""
    samples = assemble(distribution) / "plugins" / PLUGIN / "config"
    folder.mkdir()
    users = {name: {"hash": hashed(password)} for name, password in passwords.items()}
    mapping: dict[str, list[str]] = {}
    for name, roles in USERS.items():
        for given in roles:
            mapping.setdefault(given, []).append(name)
    written = {
        "internal_users": {"_meta": meta("internalusers"), **users},
        "roles": {**sample(samples, "roles"), **ROLES, **documented("roles")},
        "roles_mapping": {
            **sample(samples, "roles_mapping"),
            **{name: {"reserved": False, "users": users} for name, users in mapping.items()},
        },
        "action_groups": {**sample(samples, "action_groups"), **ACTION_GROUPS},
    }
    for name, content in written.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def documented(name: str) -> dict[str, Any]:
    """Read one of the files that operators are told to use."""
    content: dict[str, Any] = yaml.safe_load((DOCUMENTED / f"{name}.yml").read_text())
    return content


def sample(samples: Path, name: str) -> dict[str, Any]:
    """Read one of the plugin's own files."""
    content: dict[str, Any] = yaml.safe_load((samples / f"{name}.yml").read_text())
    return content


def meta(kind: str) -> dict[str, Any]:
    """Return what each file of the security plugin begins with."""
    return {"type": kind, "config_version": 2}


def hashed(password: str) -> str:
    """Hash a password as `internal_users.yml` has it; with little work, for it is asked for in every test."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
