"""Which interactions train, validate and test: six rules, each seeded and vectorized."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neggen.config import EVERYTHING, SplitConfig
from neggen.errors import NegGenError

TRAIN, VALID, TEST = 0, 1, 2


def draw_split(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    time: NDArray[Any] | None,
    given_parts: NDArray[np.uint8] | None,
    config: SplitConfig,
) -> NDArray[np.uint8]:
    """Return the part of each interaction: 0 trains, 1 validates, 2 tests.

    Args:
        users: internal user of each interaction, ``[interactions]``.
        items: internal item of each interaction, ``[interactions]``.
        time: when, or in which order, each interaction happened, ``[interactions]``, or None.
        given_parts: the source's own labels, ``[interactions]``, or None.
        config: the rule, its shares and its seed.

    Returns:
        uint8 ``[interactions]``.

    Raises:
        NegGenError: If the rule needs a time or labels that are missing, or a part would be empty.
    """
    if not len(users):
        raise NegGenError(
            "Nobody has used these items, so there is nothing to learn from: a model needs "
            "interactions, and so does the catalogue generator."
        )
    rng = np.random.default_rng(config.seed)
    if config.kind == EVERYTHING:
        return np.zeros(len(users), dtype=np.uint8)
    if config.kind == "random":
        parts = _random(users, rng)
    elif config.kind == "cold-items":
        parts = _cold_items(items, config, rng)
    elif config.kind == "popularity-shifted":
        parts = _popularity_shifted(users, items, config, rng)
    elif config.kind == "given":
        if given_parts is None:
            raise NegGenError(
                "The split 'given' needs a column 'part' (train, valid, test) among the "
                "interactions, which these data lack; use the split 'random'."
            )
        parts = given_parts.copy()
    elif time is None:
        raise NegGenError(
            f"The split '{config.kind}' needs a column timestamp, time or position among the "
            f"interactions, which these data lack; use the split 'random'."
        )
    elif config.kind == "leave-last":
        parts = _leave_last(users, time)
    else:
        parts = _by_time(time, config)
    return _checked(parts, config)


def _random(users: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hold out as the MMRec toolbox does.

    A user with under 10 items gives one to validation and one to the test; others give
    ``int(0.2 * n)``, the smaller half to validation. A user with under 3 gives none: a model
    could learn nothing about somebody whose only item is held out.
    """
    from_end, sizes = places(users, rng.random(len(users)))
    held_out = np.where(sizes < 10, 2, (sizes * 0.2).astype(np.int64))
    held_out[sizes < 3] = 0
    return _last_of_each(from_end, test=held_out - held_out // 2, held_out=held_out)


def _leave_last(users: NDArray[np.int32], time: NDArray[Any]) -> NDArray[np.uint8]:
    """Test on each user's last item, validate on the one before; users with under 3 only train.

    Interactions at the same time count in the order of the table.
    """
    from_end, sizes = places(users, time)
    held_out = np.where(sizes < 3, 0, 2)
    return _last_of_each(from_end, test=held_out // 2, held_out=held_out)


def places(
    users: NDArray[np.int32], key: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order each user's (or item's) interactions by ``key``.

    Returns:
        For each interaction how many of its user's come after it, and how many the user has,
        both int64 ``[interactions]``.
    """
    order = np.lexsort((key, users))
    counts = np.bincount(users)
    ends = np.cumsum(counts)
    from_end = np.empty(len(users), dtype=np.int64)
    from_end[order] = ends[users[order]] - 1 - np.arange(len(users))
    return from_end, counts[users]


def _last_of_each(
    from_end: NDArray[np.int64], test: NDArray[np.int64], held_out: NDArray[np.int64]
) -> NDArray[np.uint8]:
    parts = np.where(from_end < test, TEST, np.where(from_end < held_out, VALID, TRAIN))
    return parts.astype(np.uint8)


def _by_time(time: NDArray[Any], config: SplitConfig) -> NDArray[np.uint8]:
    """Cut at two global quantiles; interactions at the same time stay on the same side."""
    ordered = np.sort(time)
    first_valid = ordered[int(len(time) * (1 - config.valid_share - config.test_share))]
    first_test = ordered[int(len(time) * (1 - config.test_share))]
    parts: NDArray[np.uint8] = (time >= first_valid).astype(np.uint8)
    parts[time >= first_test] = TEST
    return parts


def _cold_items(
    items: NDArray[np.int32], config: SplitConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Hold out whole items: ``valid_share`` and ``test_share`` of those with interactions."""
    used = rng.permutation(np.unique(items))
    valid = max(1, round(len(used) * config.valid_share))
    test = max(1, round(len(used) * config.test_share))
    part_of_item: NDArray[np.uint8] = np.zeros(int(items.max()) + 1, dtype=np.uint8)
    part_of_item[used[:test]] = TEST
    part_of_item[used[test : test + valid]] = VALID
    parts: NDArray[np.uint8] = part_of_item[items]
    return parts


def _popularity_shifted(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    config: SplitConfig,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Test on items that are almost equally likely, however popular they are.

    The test part draws ``test_share`` of the interactions without replacement, each with weight
    1 / (interactions of its item), and leaves every user at least two. From the rest, as skewed as
    the log or more so, validation draws ``valid_share`` of all interactions, each alike, and leaves
    every user at least one. Neither takes the last interaction of an item. Where this leaves too
    few to draw, the part is smaller.

    So a model is chosen on what it was trained on and tested where popularity no longer helps, as
    with the intervened tests of Liang et al. 2016 (Causal inference for recommendation), Bonner and
    Vasile 2018 (arXiv 1706.07639) and Zheng et al. 2021 (DICE, arXiv 2006.11011).
    """
    parts: NDArray[np.uint8] = np.zeros(len(users), dtype=np.uint8)
    # The smallest of exponential variables with rates w is each one with a chance in proportion to
    # w, so sorting them draws without replacement (Efraimidis and Spirakis 2006).
    weighted = rng.exponential(size=len(users)) * np.bincount(items)[items]
    parts[_lowest(users, items, weighted, config.test_share * len(users), left=2)] = TEST
    rest = np.flatnonzero(parts == TRAIN)
    alike = rng.random(len(rest))
    held_out = _lowest(users[rest], items[rest], alike, config.valid_share * len(users), left=1)
    parts[rest[held_out]] = VALID
    return parts


def _lowest(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    key: NDArray[np.float64],
    count: float,
    left: int,
) -> NDArray[np.int64]:
    """Return the positions of the ``count`` lowest keys.

    Every item keeps its highest key and every user the ``left`` highest ones.
    """
    free = np.flatnonzero((places(users, key)[0] >= left) & (places(items, key)[0] >= 1))
    return free[np.argsort(key[free])[: round(count)]]


def _checked(parts: NDArray[np.uint8], config: SplitConfig) -> NDArray[np.uint8]:
    counts = np.bincount(parts, minlength=3)
    for name, count in zip(("training", "validation", "test"), counts, strict=True):
        if not count:
            raise NegGenError(
                f"The split '{config.name}' of {len(parts):,} interactions leaves the {name} part "
                f"empty; use more data, other shares or another kind of split."
            )
    return parts
