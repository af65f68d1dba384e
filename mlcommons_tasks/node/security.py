"""What a secured node is given: its certificate, whom it trusts, and the accounts and roles it begins with.

Knows the settings and files of the security plugin. Must not know processes, or what a role may do.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcommons_tasks.errors import StartError

PLUGIN = "opensearch-security"
#: Answers without an account: 200 once the node knows its accounts and roles.
HEALTH = "/_plugins/_security/health"

_CERTIFICATE, _KEY, _AUTHORITY = "node.pem", "node-key.pem", "ca.pem"
#: As the plugin's own demo configuration sets them, but for the names of other plugins' indices.
_SETTINGS: Mapping[str, Any] = {
    "plugins.security.allow_default_init_securityindex": True,
    "plugins.security.restapi.roles_enabled": ["all_access", "security_rest_api_access"],
    "plugins.security.ssl.http.enabled": True,
    "plugins.security.ssl.transport.enforce_hostname_verification": False,
}


@dataclass(frozen=True)
class Security:
    """What one secured node is started with; the node has copies of the files."""

    #: PEM, for HTTP and for transport; what clients verify is its subject alternative names.
    certificate: Path
    #: PEM, PKCS #8 before 3.0, without a password.
    key: Path
    #: PEM: the authority of the certificate.
    authority: Path
    #: A folder with `internal_users.yml`, `roles.yml` and so on; those that it lacks are the plugin's own samples.
    #: Read when the node has no data yet: accounts and roles are then kept in an index.
    config: Path
    #: More of the node's settings.
    settings: Mapping[str, Any] = field(default_factory=dict)

    def install(self, target: Path, samples: Path) -> dict[str, Any]:
        """Put the files into a node's configuration folder, and give the settings that name them."""
        for given in (self.certificate, self.key, self.authority, self.config):
            if not given.exists():
                raise StartError(f"{given}, which the secured node is to use, is not there", hint="Name another.")
        settings = dict(_SETTINGS)
        for layer in ("http", "transport"):
            for name, source, file in (
                ("pemcert", self.certificate, _CERTIFICATE),
                ("pemkey", self.key, _KEY),
                ("pemtrustedcas", self.authority, _AUTHORITY),
            ):
                shutil.copyfile(source, target / file)
                settings[f"plugins.security.ssl.{layer}.{name}_filepath"] = file
        (target / _KEY).chmod(0o600)
        folder = target / PLUGIN
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(samples, folder)
        for path in self.config.glob("*.yml"):
            shutil.copyfile(path, folder / path.name)
        return {**settings, **self.settings}
