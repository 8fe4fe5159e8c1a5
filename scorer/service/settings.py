"""One frozen Settings object per process, from ``qscore.toml`` and ``QSCORE_*`` variables; nobody else reads either.

Precedence: arguments, then ``QSCORE_*`` variables (nested with two underscores: ``QSCORE_HEC__URL``), then
``qscore.toml`` in the home folder (or the file that ``QSCORE_CONFIG`` names), then the defaults below.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.errors import ConfigurationError

#: A DNS name (international ones as xn--...), or an address.
_HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9*._:-]{1,253}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


#: Signatures by public keys alone: a shared secret, or none, proves nothing.
_Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class OidcSettings(_Section):
    """The identity provider whose ID tokens people exchange at POST /v1/token."""

    issuer: str = ""  # as it calls itself: https://login.example/realms/soc
    client_id: str = ""  # under which it knows qscore
    audience: str = ""  # of the tokens; empty: client_id
    ca_file: Path | None = None  # PEM; default: the system's certificate authorities
    algorithms: tuple[_Algorithm, ...] = Field(("RS256", "ES256"), min_length=1)
    subject_claim: str = "sub"  # what the log calls people by
    leeway: float = Field(30.0, ge=0, le=300)  # seconds that the provider's clock may differ
    max_age: float = Field(3600.0, gt=0)  # seconds after which a token is not exchanged any more


class OwnLimits(_Section):
    """The limits of one key where they differ from those of every key; None: they do not."""

    bytes_under_way: int | None = Field(None, ge=1)
    rows_under_way: int | None = Field(None, ge=1)
    batches_under_way: int | None = Field(None, ge=1)
    requests_per_minute: int | None = Field(None, ge=1)


class LimitSettings(_Section):
    """The most that one key may have in one gateway at a time. ``keys``: key id -> limits of its own."""

    # A search head with one key and 16 searches at once, each with 3 requests of a chunk of 50,000 rows, stays below.
    bytes_under_way: int = Field(256 * 1024 * 1024, ge=1)
    rows_under_way: int = Field(1_000_000, ge=1)
    batches_under_way: int = Field(48, ge=1)
    requests_per_minute: int = Field(60_000, ge=1)
    keys: dict[str, OwnLimits] = Field(default_factory=dict)


class GatewaySettings(_Section):
    """The address at which the gateway listens, and how many requests it holds."""

    host: str = "127.0.0.1"
    port: int = Field(8417, ge=0, le=65535)
    threads: int = Field(64, ge=1, le=512)  # made when they are needed; they wait more than they work
    certificate: Path | None = None  # PEM; default: made by the local CA in <home>/tls
    private_key: Path | None = None
    # Names in the certificate that the local CA makes.
    hostnames: tuple[_HostName, ...] = Field(("localhost", "127.0.0.1"), min_length=1)
    max_timeout: float = Field(55.0, gt=0)  # seconds a caller may wait at most
    max_waiting: int = Field(64, ge=1)  # batches on the queue before callers get 429
    client_ca: Path | None = None  # PEM: whose certificates callers may present
    client_certificates: Literal["optional", "required"] = "optional"
    tokens_per_key: int = Field(1000, ge=1)  # living at once
    oidc: OidcSettings = OidcSettings()
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()  # whose word is taken for who calls
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"  # the one in which they say it
    limits: LimitSettings = LimitSettings()
    connections: int = Field(512, ge=2, le=65536)  # at once, in all
    connections_per_address: int = Field(256, ge=1, le=65536)  # of one IPv4 address or one /64 network
    head_seconds: float = Field(10.0, gt=0)  # for a TLS handshake and a request's head together
    idle_seconds: float = Field(75.0, gt=0)  # between two requests of a connection
    # A body may take so many seconds, and one more for each body_rate bytes of it that came.
    body_seconds: float = Field(15.0, gt=0)
    body_rate: int = Field(128 * 1024, ge=1024)  # bytes a second
    body_memory: int = Field(128 * 1024 * 1024, ge=16 * 1024 * 1024)  # bytes of all bodies together; more lie in files
    body_disk: int = Field(2 * 1024**3, ge=0)  # bytes of all bodies together in files under <home>/run
    stop_seconds: float = Field(30.0, ge=0)  # for requests under way when the gateway is told to stop


class WorkerSettings(_Section):
    """Scoring processes on this machine."""

    processes: int = Field(2, ge=1, le=256)  # that score searches (the queue interactive)
    bulk_processes: int = Field(0, ge=0, le=256)  # that score files and documents; 0: as many as for searches
    delivery_processes: int = Field(2, ge=1, le=64)  # writing rows to the sink, each with one request at a time
    task_seconds: float = Field(10.0, gt=0)  # hard limit of one scoring task
    visibility_seconds: int = Field(20, ge=4)  # after which a silent worker's messages are given to another
    qpu_processes: int = Field(0, ge=0, le=64)  # of the qpu lane: models above 12 qubits; needs qscore[qiskit]
    qpu_task_seconds: float = Field(50.0, gt=0)  # hard limit of one task of the qpu lane
    memory_limit_mb: int = Field(1536, ge=512)  # MiB by which a process may grow from its start
    qpu_memory_limit_mb: int = Field(4096, ge=1024)  # the same of the qpu lane, which loads a simulator


class HecSettings(_Section):
    """Splunk HTTP Event Collector, the sink of ``write=true`` in Splunk."""

    url: str = ""  # https://host:8088
    token_file: Path | None = None  # file with the token alone; mode 0600
    ca_file: Path | None = None  # PEM; default: the system's certificate authorities
    index: str = "qscore"
    batch_bytes: int = Field(512 * 1024, ge=1024)
    timeout: float = Field(10.0, gt=0)


class Settings(BaseSettings):
    """All settings; immutable."""

    model_config = SettingsConfigDict(
        env_prefix="QSCORE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    home: Path = Path("~/.local/share/qscore")
    registry_dir: Path | None = None  # default <home>/registry
    trusted_keys_dir: Path | None = None  # default <home>/trusted_keys
    broker_url: str = ""  # redis://, rediss:// or redis+socket://; empty: the embedded Valkey of `qscore up`
    interactive_broker_url: str = ""  # the same for searches, whose batches stay off the disk; empty: see broker.py
    broker_ca: Path | None = None  # PEM for rediss://
    queue_key_file: Path | None = None  # one or two keys that seal what lies on a server of your own; mode 0600
    broker_plain_hosts: tuple[_HostName, ...] = ()  # hosts other than this one that redis:// may name
    sink: Literal["none", "hec", "file", "elastic"] = "none"
    sink_file: Path | None = None  # for sink = "file": HEC events, one JSON object a line
    gateway: GatewaySettings = GatewaySettings()
    worker: WorkerSettings = WorkerSettings()
    hec: HecSettings = HecSettings()
    elastic: ElasticSettings = ElasticSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    @property
    def delivers(self) -> bool:
        """True where anything may have to be written: a delivery worker is needed, and rows that survive a restart."""
        return self.sink != "none" or self.elastic.configured

    @property
    def registry(self) -> Path:
        return self.registry_dir or self.home / "registry"

    @property
    def trusted_keys(self) -> Path:
        return self.trusted_keys_dir or self.home / "trusted_keys"

    @property
    def signing_key(self) -> Path:
        return self.home / "private" / "signing_key.pem"

    @property
    def run_dir(self) -> Path:
        return self.home / "run"

    @property
    def tls_dir(self) -> Path:
        return self.home / "tls"

    @property
    def api_keys(self) -> Path:
        return self.home / "api_keys.json"

    @property
    def local_key(self) -> Path:
        """The API key that `qscore` commands on this machine use; mode 0600."""
        return self.home / "private" / "local_api_key"

    @property
    def drain_mark(self) -> Path:
        """The file that is there while this home's stack takes no new batches."""
        return self.run_dir / "draining"

    @property
    def switches(self) -> Path:
        """The file that says which models are disabled."""
        return self.home / "switches.json"

    @property
    def local_client(self) -> Path:
        """The client certificate, with its key, that those commands present where the gateway requires one."""
        return self.home / "private" / "local_client.pem"

    @property
    def presented_certificate(self) -> str | None:
        """The certificate file that commands on this machine present; None where the gateway requires none."""
        return str(self.local_client) if self.gateway.client_certificates == "required" else None

    @property
    def audit_dir(self) -> Path:
        """The audit record: who made, changed and removed what."""
        return self.home / "audit"

    @property
    def state_dir(self) -> Path:
        """Holds what this machine remembers: the newest aliases that it saw, the settings of the last start."""
        return self.home / "state"

    @property
    def seen_aliases(self) -> Path:
        """The newest aliases that this machine saw, so that old ones put back are refused."""
        return self.state_dir / "aliases.json"

    @property
    def dead_letters(self) -> Path:
        return self.home / "dead_letters.sqlite"


def config_file() -> Path:
    """Find the configuration file that applies: QSCORE_CONFIG, or qscore.toml in QSCORE_HOME or the default home."""
    named = os.environ.get("QSCORE_CONFIG")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("QSCORE_HOME") or Settings.model_fields["home"].default
    return Path(home).expanduser() / "qscore.toml"


def load_settings(**overrides: Any) -> Settings:
    """Load this process's settings. Raises ConfigurationError naming the setting, its value and what is allowed."""
    named = os.environ.get("QSCORE_CONFIG")
    if named and not Path(named).expanduser().is_file():
        raise ConfigurationError(f"QSCORE_CONFIG={named} is not a file", "Name an existing qscore.toml or unset it.")
    _check_config(config_file())
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise ConfigurationError(
            _first_fault(error), f"Correct it in {config_file()} or in its QSCORE_ variable."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{config_file()} cannot be read: {error}", "It must be TOML.") from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


def _check_config(path: Path) -> None:
    """Refuse a file of settings that everybody may write, or that is a pipe; a group that edits it together may."""
    if os.path.lexists(path) and not path.is_file():
        raise ConfigurationError(f"{path} is not a regular file", "Put the settings themselves there.")
    writable = path.is_file() and path.stat().st_mode & stat.S_IWOTH
    if writable and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise ConfigurationError(f"{path} can be written by others", f"Run: chmod o-w {path}")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"setting {where} = {str(fault['input'])[:80]!r}: {fault['msg']}"
