"""Train implicit's BPR on a given matrix; run by ``benchmarks/factorization.py``.

Prints one line of JSON a look at validation, with the seconds of training alone until then, and
writes the factors that validated best.
"""

import contextlib
import json
import sys

import numpy as np
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import load_npz

folder, rate, regularization, every, patience, threads, limit = sys.argv[1:]
train, valid = load_npz(f"{folder}/train.npz").tocsr(), load_npz(f"{folder}/valid.npz").tocsr()
people = np.flatnonzero(np.diff(valid.indptr))


def recall(users: np.ndarray, items: np.ndarray) -> float:
    """Return Recall@20 on validation."""
    found = 0.0
    for part in np.array_split(people, max(1, len(people) // 500)):
        scores = users[part] @ items.T
        block = train[part].tocoo()
        scores[block.row, block.col] = -np.inf
        best = np.argpartition(-scores, 20, axis=1)[:, :20]
        for row, person in enumerate(part):
            wanted = valid.indices[valid.indptr[person] : valid.indptr[person + 1]]
            found += np.isin(wanted, best[row]).mean()
    return found / len(people)


class Enough(Exception):
    """Validation has not improved for long, or the time is over."""


model = BayesianPersonalizedRanking(
    factors=63,  # and one for the biases
    learning_rate=float(rate),
    regularization=float(regularization),
    iterations=2000,
    num_threads=int(threads),
    random_state=0,
)
best, since, seconds = -1.0, 0, 0.0


def look(iteration: int, elapsed: float, *_: object) -> None:
    """Validate now and then."""
    global best, since, seconds
    seconds += elapsed
    if (iteration + 1) % int(every):
        return
    figure = recall(model.user_factors, model.item_factors)
    since = 0 if figure > best else since + 1
    if figure > best:
        best = figure
        np.savez(f"{folder}/best.npz", users=model.user_factors, items=model.item_factors)
    print(json.dumps({"epoch": iteration + 1, "seconds": seconds, "recall": figure}), flush=True)
    if since >= int(patience) or 0 < float(limit) <= seconds:
        raise Enough


with contextlib.suppress(Enough):
    model.fit(train, show_progress=False, callback=look)
