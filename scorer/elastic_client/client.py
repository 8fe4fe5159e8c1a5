"""A client of one Elasticsearch cluster, made of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from elastic_transport import NodeConfig, Urllib3HttpNode
from elasticsearch import Elasticsearch
from urllib3.connection import ProxyConfig

from scorer.elastic_client.answers import AnswerSerializer
from scorer.elastic_client.bounded import BoundedPool
from scorer.elastic_client.deadline import timed
from scorer.elastic_client.failures import reached
from scorer.elastic_client.settings import ElasticSettings
from scorer.secret_file import read_secret
from scorer.wire.errors import ConfigurationError, NonsenseReply

#: Plain HTTP would show the API key to everyone on the way; nobody is on the way to this machine.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_KEPT_CONNECTIONS = 4
_ADDRESS = "Set elastic.url to the cluster's address, such as https://elastic.example:9200."


@dataclass(frozen=True)
class ServerInfo:
    """What a cluster says of itself. ``flavor`` is ``serverless`` on Elastic's serverless offering."""

    name: str
    uuid: str
    number: str
    flavor: str

    @property
    def serverless(self) -> bool:
        """Tell whether version numbers mean nothing here, and what concerns nodes and indices is out of reach."""
        return self.flavor == "serverless"


def connect(settings: ElasticSettings, basic_auth: tuple[str, str] | None = None) -> Elasticsearch:
    """Make a thread-safe client; nothing is sent yet. Raises ConfigurationError that names the setting.

    ``basic_auth``: an administrator's name and password, in place of the API key. The client itself repeats nothing:
    what may be repeated is known to who sends it.
    """
    options: dict[str, Any] = {
        **({"basic_auth": basic_auth} if basic_auth else {"api_key": _api_key(settings)}),
        "request_timeout": settings.timeout,
        "max_retries": 0,
        "retry_on_timeout": False,
        "sniff_on_start": False,
        "http_compress": False,
        "connections_per_node": _KEPT_CONNECTIONS,
        "serializers": {"application/json": AnswerSerializer()},
    }
    where = _where(settings)
    tls = _tls(settings) if "cloud_id" in where or str(where["hosts"][0]).startswith("https") else {}
    try:
        return Elasticsearch(**where, **options, **tls, node_class=_node_class(settings))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigurationError(f"the [elastic] settings make no client: {error}", "Correct them.") from None


def server_info(client: Elasticsearch) -> ServerInfo:
    """Ask the cluster for its version. Raises what ``failures.reached`` raises, and NonsenseReply."""
    with reached("ask Elasticsearch for its version", "cluster privilege monitor"):
        body: Any = client.info().body
    version = body.get("version") if isinstance(body, Mapping) else None
    number = version.get("number") if isinstance(version, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(version, Mapping) or not isinstance(number, str):
        raise NonsenseReply("the cluster's answer to GET / has no version", "Set elastic.url to Elasticsearch itself.")
    texts = (body.get("cluster_name"), body.get("cluster_uuid"), number, version.get("build_flavor"))
    return ServerInfo(*(text[:200] if isinstance(text, str) else "" for text in texts))


def _api_key(settings: ElasticSettings) -> str:
    if settings.api_key_file is None:
        raise ConfigurationError(
            "elastic.api_key_file is not set",
            "Name a file (mode 0600) that holds the encoded API key; `qscore elastic install --user NAME` makes one.",
        )
    return read_secret(settings.api_key_file.expanduser(), "elastic.api_key_file")


def _where(settings: ElasticSettings) -> dict[str, Any]:
    if settings.cloud_id:
        return {"cloud_id": settings.cloud_id}
    hosts = [part.strip() for part in settings.url.split(",") if part.strip()]
    if not hosts:
        raise ConfigurationError("elastic.url is empty", "Set it to https://host:9200, or set elastic.cloud_id.")
    return {"hosts": [_host(url, settings) for url in hosts]}


def _host(url: str, settings: ElasticSettings) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 9200)
    except ValueError as error:
        raise ConfigurationError(f"elastic.url {url[:200]!r} is no address: {error}", _ADDRESS) from None
    _check_address(url, parts)
    if parts.scheme == "http" and (parts.hostname not in _LOOPBACK or settings.proxy):
        raise ConfigurationError(
            f"elastic.url {url[:200]!r} would send the API key unencrypted", "Use https://, and elastic.ca_file for it."
        )
    name = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"


def _check_address(url: str, parts: SplitResult) -> None:
    """Raise ConfigurationError for what is more, or less, than an address."""
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"elastic.url {url[:200]!r} is not https://host:port", _ADDRESS)
    if parts.username or parts.password:
        raise ConfigurationError("elastic.url holds a name or a password", "Put an API key into elastic.api_key_file.")


def _tls(settings: ElasticSettings) -> dict[str, Any]:
    options: dict[str, Any] = {}
    files = ("ca_file", "client_certificate", "client_key")
    for setting, option in zip(files, ("ca_certs", "client_cert", "client_key"), strict=True):
        path: Path | None = getattr(settings, setting)
        if path is not None:
            if not path.expanduser().is_file():
                raise ConfigurationError(f"elastic.{setting} = {path} is not a file", "Name a PEM file.")
            options[option] = str(path.expanduser())
    if settings.ca_fingerprint:
        if settings.ca_file is not None:
            raise ConfigurationError(
                "elastic.ca_file and elastic.ca_fingerprint are both set", "Keep one: the file is the stricter check."
            )
        options["ssl_assert_fingerprint"] = settings.ca_fingerprint.replace(":", "").lower()
    return options


def _node_class(settings: ElasticSettings) -> type[Urllib3HttpNode]:
    """Make the client's own node class with ends to answers and waiting, the proxy, a certificate by a fingerprint."""
    proxy = urllib3.util.parse_url(settings.proxy) if settings.proxy else None
    if proxy is not None and (proxy.scheme not in ("http", "https") or not proxy.host):
        shown = settings.proxy.rpartition("@")[2][:200]  # a password may stand before it
        raise ConfigurationError(f"elastic.proxy = {shown!r} is not http://host:port", "Correct it.")
    login = urllib3.util.make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy and proxy.auth else {}

    class Node(Urllib3HttpNode):
        def __init__(self, config: NodeConfig) -> None:
            super().__init__(config)
            if config.ssl_assert_fingerprint and config.client_cert:
                self.pool.conn_kw["ssl_context"].load_cert_chain(config.client_cert, config.client_key)
            if proxy is not None:
                through = ProxyConfig(
                    None, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
                )
                self.pool.proxy, self.pool.proxy_headers, self.pool.proxy_config = proxy, login, through
                self.pool.conn_kw |= {"proxy": proxy, "proxy_config": through}
            self.pool.ConnectionCls = timed(self.pool.ConnectionCls)
            self.pool: Any = BoundedPool(self.pool)

    return Node
