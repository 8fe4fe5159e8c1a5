"""Habits in Windows authentication events: what people, machines and attackers leave in the Security log."""

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
    accounts=Pool({"person": (0, 600), "admin": (600, 640), "service": (640, 700), "any": (0, 700)}),
    hosts=Pool(
        {
            "workstation": (0, 500),
            "server": (500, 640),
            "admin_host": (640, 652),
            "tool_host": (652, 660),  # backup, scanner, deployment
            "controller": (660, 664),
            "any": (0, 660),
        }
    ),
)
_CONTROLLERS = ESTATE.hosts.ranges["controller"]


@dataclass(frozen=True)
class LogonKind:
    """One kind of event. ``seen``: "dest" names source and destination; "bare" has no source, as Windows writes it;
    "controller" is logged by a domain controller; "source" is logged on the host that the user sits at."""

    signature: str
    logon_type: str = "-"
    package: str = "-"
    seen: str = "dest"


KINDS = {
    "kerberos": LogonKind("4624", "3", "Kerberos"),
    "ntlm": LogonKind("4624", "3", "NTLM"),
    "rdp": LogonKind("4624", "10", "Negotiate"),
    "console": LogonKind("4624", "2", "Negotiate"),
    "service": LogonKind("4624", "5", "Negotiate"),
    "ntlm_failure": LogonKind("4625", "3", "NTLM"),
    "rdp_failure": LogonKind("4625", "10", "Negotiate"),
    "console_failure": LogonKind("4625", "2", "Negotiate"),
    "preauth_failure": LogonKind("4771", seen="controller"),
    "explicit": LogonKind("4648", seen="source"),
    "privileged": LogonKind("4672", seen="bare"),
    "logoff": LogonKind("4634", "3", seen="bare"),
    "share": LogonKind("5140"),
    "share_file": LogonKind("5145"),
    "tgt": LogonKind("4768", seen="controller"),
    "ticket": LogonKind("4769", seen="controller"),
}
_SEEN = ("dest", "bare", "controller", "source")

BENIGN = (
    Profile(
        "sign_in",
        0.24,
        "person",
        "workstation",
        "workstation",
        1.0,
        {"console": 1.0, "console_failure": 0.12, "tgt": 1.0, "ticket": 2.0, "logoff": 0.6},
    ),
    Profile(
        "file_shares",
        0.20,
        "person",
        "workstation",
        "server",
        1.7,
        {"kerberos": 1.6, "share": 1.5, "share_file": 2.5, "ticket": 0.9, "logoff": 1.2},
    ),
    Profile(
        "old_application",
        0.08,
        "person",
        "workstation",
        "server",
        1.3,
        {"ntlm": 1.8, "ntlm_failure": 0.15, "share": 0.4, "logoff": 1.2},
    ),
    Profile(
        "mistyped",
        0.05,
        "person",
        "workstation",
        "server",
        1.1,
        {"ntlm_failure": 0.9, "preauth_failure": 1.2, "ntlm": 0.5, "kerberos": 0.4},
    ),
    Profile(
        "expired_password", 0.05, "service", "server", "server", 1.5, {"ntlm_failure": 3.0, "preauth_failure": 1.5}
    ),
    Profile(
        "admin_tools",
        0.09,
        "admin",
        "admin_host",
        "server",
        3.5,
        {
            "kerberos": 1.8,
            "ntlm": 0.25,
            "privileged": 1.6,
            "share": 1.1,
            "share_file": 1.2,
            "ticket": 0.8,
            "explicit": 0.35,
            "logoff": 1.2,
        },
    ),
    Profile(
        "admin_rdp",
        0.06,
        "admin",
        "admin_host",
        "server",
        1.6,
        {"rdp": 1.1, "explicit": 0.7, "privileged": 0.8, "kerberos": 0.5, "rdp_failure": 0.1, "ticket": 0.7},
    ),
    Profile(
        "helpdesk_rdp",
        0.04,
        "admin",
        "workstation",
        "workstation",
        1.5,
        {"rdp": 1.0, "explicit": 0.8, "privileged": 0.5, "ntlm": 0.4, "rdp_failure": 0.15},
    ),
    Profile(
        "patching",
        0.06,
        "service",
        "tool_host",
        "any",
        9.0,
        {"kerberos": 1.3, "privileged": 1.2, "share": 0.8, "share_file": 0.7, "ticket": 0.5, "logoff": 1.0},
    ),
    Profile(
        "backup",
        0.06,
        "service",
        "tool_host",
        "server",
        3.0,
        {"kerberos": 1.5, "ntlm": 0.3, "privileged": 1.3, "share": 2.5, "share_file": 5.0, "logoff": 1.2},
    ),
    Profile(
        "scanner",
        0.04,
        "service",
        "tool_host",
        "any",
        14.0,
        {"ntlm": 0.7, "ntlm_failure": 0.9, "kerberos": 0.2, "share": 0.4, "rdp_failure": 0.1, "logoff": 0.5},
    ),
    Profile("services", 0.03, "service", "server", "server", 1.0, {"service": 1.4, "privileged": 1.2, "tgt": 0.4}),
)
ATTACKS = (
    Profile("spraying", 0.14, "person", "workstation", "server", 1.2, {"ntlm_failure": 6.0, "preauth_failure": 2.8}),
    Profile(
        "pass_the_hash",
        0.20,
        "admin",
        "workstation",
        "any",
        2.6,
        {"ntlm": 6.8, "privileged": 4.4, "share": 2.8, "share_file": 1.6, "ntlm_failure": 1.0, "logoff": 3.6},
    ),
    Profile(
        "service_execution",
        0.20,
        "any",
        "workstation",
        "any",
        2.3,
        {
            "ntlm": 3.2,
            "kerberos": 3.2,
            "privileged": 4.8,
            "share": 5.6,
            "share_file": 8.8,
            "explicit": 2.0,
            "ticket": 1.6,
            "logoff": 3.2,
        },
    ),
    Profile(
        "rdp_hopping",
        0.12,
        "admin",
        "any",
        "any",
        1.8,
        {"rdp": 4.4, "explicit": 3.6, "privileged": 3.2, "ntlm": 2.4, "rdp_failure": 0.8},
    ),
    Profile(
        "remote_management",
        0.18,
        "admin",
        "any",
        "any",
        2.4,
        {"kerberos": 8.8, "privileged": 7.2, "ticket": 3.2, "explicit": 2.0, "ntlm": 1.2, "logoff": 6.4},
    ),
    Profile(
        "slow_hopping",
        0.16,
        "any",
        "any",
        "any",
        3.0,
        {"ntlm": 3.6, "kerberos": 2.4, "privileged": 2.8, "share": 2.0, "explicit": 1.2},
        spread=True,
    ),
)


def generate(rows: int, label: int, rng: np.random.Generator) -> pa.Table:
    """Generate authentication events that make about ``rows`` rows of ``label``."""
    profiles = ATTACKS if label else BENIGN
    kinds = tuple(KINDS)
    pairs = shuffled(draw_pairs(profiles, rows, ESTATE, rng), rng)
    seen = np.array([_SEEN.index(k.seen) for k in KINDS.values()])
    counts = first_rows(draw_counts(profiles, kinds, pairs, rng), seen, rows)
    pair, kind = expand(counts)
    dest = _logged_by(pairs, pair, seen[kind], rng)
    return _table(profiles, pairs, pair, kind, dest, label, rng)


def _logged_by(pairs: Pairs, pair: Ints, seen: Ints, rng: np.random.Generator) -> Ints:
    controller = rng.integers(*_CONTROLLERS, size=pairs.dest.size)  # one controller per pair, as clients keep theirs
    at_controller = np.where(seen == _SEEN.index("controller"), controller[pair], pairs.dest[pair])
    return np.where(seen == _SEEN.index("source"), pairs.src[pair], at_controller)


def _table(
    profiles: tuple[Profile, ...],
    pairs: Pairs,
    pair: Ints,
    kind: Ints,
    dest: Ints,
    label: int,
    rng: np.random.Generator,
) -> pa.Table:
    kinds = list(KINDS.values())
    unnamed = np.isin([k.seen for k in kinds], ("bare", "source"))[kind]
    time: Floats = pairs.window[pair] + rng.uniform(0.0, SPAN, size=pair.size)
    return pa.table(
        {
            "_time": np.round(time, 3),
            "user": _accounts().take(pairs.user[pair]),
            "src": pa.array(np.where(unnamed, "-", _addresses()[pairs.src[pair]])),
            "dest": _hosts().take(dest),
            "signature_id": pa.array([k.signature for k in kinds]).take(kind),
            "Logon_Type": pa.array([k.logon_type for k in kinds]).take(kind),
            "AuthenticationPackageName": pa.array([k.package for k in kinds]).take(kind),
            "label": np.full(pair.size, label, dtype=np.int64),
            "activity": pa.array([f"{'am'[label]}{a}" for a in range(int(pairs.activity.max()) + 1)]).take(
                pairs.activity[pair]
            ),
            "profile": pa.array([p.name for p in profiles]).take(pairs.profile[pair]),
        }
    )


def _accounts() -> pa.Array:
    names = {"person": "person", "admin": "adm-", "service": "svc-"}
    pools = ESTATE.accounts.ranges
    return pa.array([f"{prefix}{i:04d}" for pool, prefix in names.items() for i in range(*pools[pool])])


def _hosts() -> pa.Array:
    names = {"workstation": "ws", "server": "srv", "admin_host": "jump", "tool_host": "tool", "controller": "dc"}
    pools = ESTATE.hosts.ranges
    return pa.array([f"{prefix}{i:04d}.corp.example" for pool, prefix in names.items() for i in range(*pools[pool])])


def _addresses() -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.array([f"10.20.{i // 250}.{i % 250 + 1}" for i in range(_CONTROLLERS[1])])
