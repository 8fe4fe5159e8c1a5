"""Habits seen in connections (Zeek's conn.log): what benign people, machines and attackers leave on the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from scorer.training.starter.habits import (
    SPAN,
    Estate,
    Floats,
    Ints,
    Pairs,
    Pool,
    Profile,
    draw_counts,
    draw_pairs,
    expand,
    first_rows,
    shuffled,
)

ESTATE = Estate(
    accounts=Pool({"none": (0, 1)}),
    hosts=Pool(
        {
            "workstation": (0, 500),
            "server": (500, 640),
            "admin_host": (640, 652),
            "tool_host": (652, 660),
            "controller": (660, 664),
            "web": (664, 1200),
            "any": (0, 660),
        }
    ),
)
_HOSTS = 1200
EPHEMERAL = 0  # stands for one of the ports that RPC hands out, 49152-65535
_ROW_OF_CLASS = ("admin", "rpc", "directory", "web", "other")


@dataclass(frozen=True)
class ConnectionKind:
    """One kind of connection.

    ``group``: its port class. ``failing``: share without an answer or refused. ``seconds``, ``sent``, ``received``:
    medians of log-normal duration, bytes out and bytes in; ``sigma``: their spread in logarithms.
    """

    ports: tuple[int, ...]
    group: str
    failing: float
    seconds: float
    sent: float
    received: float
    transport: str = "tcp"
    sigma: float = 1.0


KINDS = {
    "web": ConnectionKind((80, 443, 443, 8080), "web", 0.02, 8.0, 2_500.0, 18_000.0, sigma=1.4),
    "dns": ConnectionKind((53,), "directory", 0.02, 0.02, 45.0, 120.0, "udp", 0.5),
    "kerberos": ConnectionKind((88,), "directory", 0.01, 0.05, 1_600.0, 1_700.0, sigma=0.4),
    "ldap": ConnectionKind((389, 389, 636, 3268), "directory", 0.02, 4.0, 2_400.0, 5_000.0),
    "smb": ConnectionKind((445, 445, 445, 139), "admin", 0.04, 15.0, 6_000.0, 14_000.0, sigma=1.5),
    "smb_push": ConnectionKind((445,), "admin", 0.04, 12.0, 180_000.0, 8_000.0, sigma=1.6),
    "smb_probe": ConnectionKind((445, 139, 3389, 22), "admin", 0.55, 0.4, 250.0, 180.0, sigma=1.3),
    "rdp": ConnectionKind((3389,), "admin", 0.06, 300.0, 160_000.0, 900_000.0, sigma=1.5),
    "ssh": ConnectionKind((22,), "admin", 0.05, 90.0, 9_000.0, 14_000.0, sigma=1.5),
    "winrm": ConnectionKind((5985, 5985, 5986), "admin", 0.06, 6.0, 9_000.0, 6_000.0, sigma=1.3),
    "mapper": ConnectionKind((135,), "rpc", 0.05, 2.0, 500.0, 400.0, sigma=0.8),
    "rpc": ConnectionKind((EPHEMERAL,), "rpc", 0.05, 9.0, 4_000.0, 3_500.0, sigma=1.4),
    "database": ConnectionKind((1433, 3306, 5432, 1521), "other", 0.02, 40.0, 9_000.0, 40_000.0, sigma=1.5),
    "print": ConnectionKind((9100, 515, 631), "other", 0.05, 5.0, 60_000.0, 900.0, sigma=1.2),
    "odd": ConnectionKind((8530, 161, 514, 4444, 7680), "other", 0.15, 3.0, 2_000.0, 2_500.0, sigma=1.5),
    "probe": ConnectionKind((21, 25, 111, 1433, 5432, 6379, 8081), "other", 0.7, 0.2, 120.0, 90.0, sigma=1.2),
    "time": ConnectionKind((123,), "other", 0.03, 0.05, 48.0, 48.0, "udp", 0.2),
}

BENIGN = (
    Profile("browsing", 0.20, "none", "workstation", "web", 2.5, {"web": 3.0}),
    Profile("names", 0.09, "none", "any", "controller", 1.1, {"dns": 5.0, "time": 0.2}),
    Profile(
        "sign_in",
        0.13,
        "none",
        "any",
        "controller",
        1.2,
        {"kerberos": 1.8, "ldap": 1.4, "smb": 0.6, "mapper": 0.4, "rpc": 0.6},
    ),
    Profile("file_shares", 0.15, "none", "workstation", "server", 1.7, {"smb": 1.8}),
    Profile("databases", 0.06, "none", "server", "server", 1.3, {"database": 3.0, "odd": 0.2}),
    Profile("printing", 0.03, "none", "workstation", "server", 1.0, {"print": 1.3, "mapper": 0.3, "rpc": 0.3}),
    Profile(
        "admin_tools",
        0.09,
        "none",
        "admin_host",
        "server",
        3.5,
        {"smb": 1.0, "smb_push": 0.4, "winrm": 1.0, "mapper": 0.9, "rpc": 1.2},
    ),
    Profile("remote_desktop", 0.05, "none", "any", "any", 1.4, {"rdp": 1.2}),
    Profile("shells", 0.04, "none", "admin_host", "server", 1.8, {"ssh": 1.5}),
    Profile(
        "deployment", 0.05, "none", "tool_host", "any", 8.0, {"smb_push": 1.2, "winrm": 0.6, "rpc": 0.4, "odd": 0.5}
    ),
    Profile("backup", 0.04, "none", "tool_host", "server", 3.0, {"smb": 2.0, "smb_push": 0.5, "database": 0.4}),
    Profile(
        "monitoring", 0.04, "none", "tool_host", "server", 6.0, {"mapper": 1.1, "rpc": 1.6, "winrm": 0.4, "odd": 0.4}
    ),
    Profile("scanner", 0.03, "none", "tool_host", "any", 12.0, {"smb_probe": 1.8, "probe": 2.5, "web": 0.4}),
)
ATTACKS = (
    Profile("service_execution", 0.24, "none", "workstation", "any", 2.3, {"smb_push": 6.0, "mapper": 2.8, "rpc": 4.4}),
    Profile("remote_objects", 0.20, "none", "workstation", "any", 2.0, {"mapper": 4.8, "rpc": 7.6, "smb": 2.4}),
    Profile("remote_management", 0.14, "none", "any", "any", 2.0, {"winrm": 8.0, "smb": 1.6}),
    Profile("rdp_hopping", 0.12, "none", "any", "any", 1.6, {"rdp": 5.6, "smb": 1.6}),
    Profile("shell_hopping", 0.08, "none", "server", "server", 1.7, {"ssh": 7.2, "smb_push": 0.8}),
    Profile("looking_around", 0.10, "none", "workstation", "any", 6.0, {"smb_probe": 6.4}),
    Profile("slow_hopping", 0.12, "none", "any", "any", 2.5, {"smb": 3.6, "winrm": 2.4, "rpc": 2.0}, spread=True),
)


def generate(rows: int, label: int, rng: np.random.Generator) -> pa.Table:
    """Generate connections that make about ``rows`` rows of ``label``."""
    profiles = ATTACKS if label else BENIGN
    pairs = shuffled(draw_pairs(profiles, rows, ESTATE, rng), rng)
    groups = np.array([_ROW_OF_CLASS.index(k.group) for k in KINDS.values()])
    counts = first_rows(draw_counts(profiles, tuple(KINDS), pairs, rng), groups, rows)
    pair, kind = expand(counts)
    return _table(profiles, pairs, pair, kind, label, rng)


def _table(
    profiles: tuple[Profile, ...], pairs: Pairs, pair: Ints, kind: Ints, label: int, rng: np.random.Generator
) -> pa.Table:
    time: Floats = pairs.window[pair] + rng.uniform(0.0, SPAN, size=pair.size)
    addresses = pa.array([f"10.{30 + i // 62_500}.{i // 250 % 250}.{i % 250 + 1}" for i in range(_HOSTS)])
    activities = pa.array([f"{'am'[label]}{a}" for a in range(int(pairs.activity.max()) + 1)])
    return pa.table(
        {
            "ts": np.round(time, 6),
            "uid": _uids(pair.size, rng),
            "id_orig_h": addresses.take(pairs.src[pair]),
            "id_orig_p": rng.integers(49_152, 65_536, size=pair.size),
            "id_resp_h": addresses.take(pairs.dest[pair]),
            "id_resp_p": _ports(kind, rng),
            "proto": pa.array([k.transport for k in KINDS.values()]).take(kind),
            **_outcome(kind, rng),
            "label": np.full(pair.size, label, dtype=np.int64),
            "activity": activities.take(pairs.activity[pair]),
            "profile": pa.array([p.name for p in profiles]).take(pairs.profile[pair]),
        }
    )


def _uids(size: int, rng: np.random.Generator) -> pa.Array:
    return pa.array([f"C{v:016x}" for v in rng.integers(0, 2**63, size=size).tolist()])


def _ports(kind: Ints, rng: np.random.Generator) -> Ints:
    ports = np.zeros(kind.size, dtype=np.int64)
    for k, spec in enumerate(KINDS.values()):
        chosen = np.flatnonzero(kind == k)
        ports[chosen] = rng.choice(np.array(spec.ports), size=chosen.size)
    return np.where(ports == EPHEMERAL, rng.integers(49_152, 65_536, size=kind.size), ports)


def _outcome(kind: Ints, rng: np.random.Generator) -> dict[str, pa.Array]:
    """State, duration in seconds and bytes both ways; empty cells where Zeek would write "-"."""
    kinds = list(KINDS.values())
    failed = rng.random(kind.size) < np.array([k.failing for k in kinds])[kind]
    bad = rng.choice(np.array(["S0", "REJ", "RSTOS0"]), p=[0.5, 0.4, 0.1], size=kind.size)
    good = rng.choice(np.array(["SF", "RSTO", "RSTR", "S1"]), p=[0.75, 0.12, 0.09, 0.04], size=kind.size)
    return {
        "conn_state": pa.array(np.where(failed, bad, good)),
        "duration": _measured([k.seconds for k in kinds], kinds, kind, failed, 6, rng),
        "orig_bytes": _measured([k.sent for k in kinds], kinds, kind, failed, 0, rng),
        "resp_bytes": _measured([k.received for k in kinds], kinds, kind, failed, 0, rng),
    }


def _measured(
    medians: list[float],
    kinds: list[ConnectionKind],
    kind: Ints,
    failed: np.ndarray[tuple[int], np.dtype[np.bool_]],
    digits: int,
    rng: np.random.Generator,
) -> pa.Array:
    sigma = np.array([k.sigma for k in kinds])[kind]
    value = np.array(medians)[kind] * rng.lognormal(0.0, sigma)
    return pa.array(np.round(value, digits), mask=failed)
