"""Drawing habits: who talks to whom, when, and how many events of which kind that makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SPAN = 600.0  # seconds: everything that one pair does within one activity falls into one window of the recipes
START = 1_735_689_600.0  # 2025-01-01 UTC: generated events have a time of their own, never the clock's
DAYS = 21


@dataclass(frozen=True)
class Profile:
    """One habit of people, machines or attackers.

    ``share``: its part of the rows of its label. ``accounts``, ``sources``, ``targets``: pools to draw from.
    ``dests``: mean number of hosts that one activity reaches. ``means``: kind of event -> mean number of events on
    each host. ``spread``: hosts are reached in windows of their own, over hours, instead of all in one window.
    """

    name: str
    share: float
    accounts: str
    sources: str
    targets: str
    dests: float
    means: Mapping[str, float]
    spread: bool = False


@dataclass(frozen=True)
class Pairs:
    """Who talks to whom: arrays of length P, one entry for one user, source and destination in one window."""

    profile: Ints  # position in the tuple of profiles
    activity: Ints  # the user, source and intent that several pairs share
    user: Ints
    src: Ints
    dest: Ints
    window: Floats  # epoch seconds


@dataclass(frozen=True)
class Pool:
    """Half-open ranges of positions in a list of names, by pool name."""

    ranges: Mapping[str, tuple[int, int]]

    def draw(self, name: str, size: int, rng: np.random.Generator) -> Ints:
        low, high = self.ranges[name]
        return rng.integers(low, high, size=size)


@dataclass(frozen=True)
class Estate:
    """The company: accounts and hosts, as pools."""

    accounts: Pool
    hosts: Pool


def draw_pairs(profiles: tuple[Profile, ...], pairs: int, estate: Estate, rng: np.random.Generator) -> Pairs:
    """Draw ``pairs`` pairs whose profiles stand in their shares."""
    shares = np.array([p.share for p in profiles])
    counts = rng.multinomial(pairs, shares / shares.sum())
    parts = [_of_profile(k, p, int(n), estate, rng) for k, (p, n) in enumerate(zip(profiles, counts, strict=True))]
    return _joined(parts)


def _of_profile(k: int, profile: Profile, pairs: int, estate: Estate, rng: np.random.Generator) -> Pairs:
    sizes = rng.geometric(1.0 / profile.dests, size=pairs)
    activity = np.repeat(np.arange(pairs), sizes)[:pairs]  # the first `pairs` hosts of enough activities
    accounts = estate.accounts.draw(profile.accounts, pairs, rng)
    sources = estate.hosts.draw(profile.sources, pairs, rng)
    windows = rng.integers(0, int(DAYS * 86_400 / SPAN), size=pairs)
    delay = rng.integers(0, 36, size=activity.size) if profile.spread else np.zeros(activity.size, dtype=np.int64)
    return Pairs(
        profile=np.full(activity.size, k),
        activity=activity,
        user=accounts[activity],
        src=sources[activity],
        dest=estate.hosts.draw(profile.targets, activity.size, rng),
        window=START + SPAN * (windows[activity] + delay).astype(np.float64),
    )


def _joined(parts: list[Pairs]) -> Pairs:
    starts = np.cumsum([0] + [int(p.activity.max()) + 1 if p.activity.size else 0 for p in parts])
    activity = np.concatenate([p.activity + start for p, start in zip(parts, starts[:-1], strict=True)])
    names = ("profile", "user", "src", "dest", "window")
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    return Pairs(activity=activity, **columns)


def draw_counts(profiles: tuple[Profile, ...], kinds: tuple[str, ...], pairs: Pairs, rng: np.random.Generator) -> Ints:
    """Draw the events of each kind on each pair, (P, K): Poisson with a gamma-distributed intensity, never all zero."""
    means = np.array([[p.means.get(kind, 0.0) for kind in kinds] for p in profiles])
    rates = means[pairs.profile] * rng.gamma(1.6, 1 / 1.6, size=(pairs.profile.size, 1))
    counts: Ints = rng.poisson(rates).astype(np.int64)
    empty = np.flatnonzero(counts.sum(axis=1) == 0)
    counts[empty, means[pairs.profile[empty]].argmax(axis=1)] = 1
    return counts


def first_rows(counts: Ints, row_of_kind: Ints, rows: int) -> Ints:
    """Take the ``counts`` (P, K) of as many leading pairs (in random order already) as make ``rows`` rows."""
    made = np.stack([counts[:, row_of_kind == r].sum(axis=1) > 0 for r in np.unique(row_of_kind)]).sum(axis=0)
    return counts * (np.cumsum(made) <= rows)[:, None]


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """Expand ``counts`` (P, K) to the pair and the kind of every single event, (E,) each."""
    flat = np.repeat(np.arange(counts.size), counts.ravel())
    return flat // counts.shape[1], flat % counts.shape[1]


def shuffled(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Put pairs in random order of their activities, so that cutting the tail favours no profile."""
    rank = rng.permutation(int(pairs.activity.max()) + 1)
    order = np.argsort(rank[pairs.activity], kind="stable")
    names = ("profile", "activity", "user", "src", "dest", "window")
    return Pairs(**{name: getattr(pairs, name)[order] for name in names})
