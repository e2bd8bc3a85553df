"""The model card: what a model is, how good it was found to be and how that was measured."""

from __future__ import annotations

import tomli_w
from jinja2 import Environment, PackageLoader, StrictUndefined

import neggen
from neggen.errors import from_extra
from neggen.models.base import Recommender
from neggen.models.described_items import Described
from neggen.runs import Run

SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "hit@20", "coverage@20")


def card_of(run: Run, model: Recommender, *, license: str | None, repo: str | None) -> str:
    """Return the text of a model card, with front matter laid out for the Hugging Face Hub.

    Args:
        run: the run, whose figures are told with the protocol that they were measured by.
        model: its model.
        license: an identifier of the Hub, such as ``apache-2.0`` or ``cc-by-nc-4.0``.
        repo: where the model will be, as ``owner/name``.

    Raises:
        NegGenError: If huggingface-hub is missing.
    """
    with from_extra("export", "The format hub needs huggingface-hub"):
        from huggingface_hub import EvalResult, ModelCardData
    manifest, title = run.manifest, repo or run.folder.resolve().name
    results = [
        EvalResult(
            task_type="recommendation",
            dataset_type="private",
            dataset_name=run.workspace.path.name,
            dataset_split=part,
            dataset_revision=manifest["content_hash"],
            metric_type=name,
            metric_value=round(own[name], 6),
        )
        for part, own in run.metrics.items()
        for name in SHOWN
    ]
    tags = ["recommender-systems", "recommendation", manifest["model"]]
    if isinstance(model, Described):
        tags += ["multimodal", "negative-sampling", "arxiv:2501.15183"]
    data = ModelCardData(
        library_name="neggen",
        license=license,
        tags=tags,
        model_name=title if results else None,
        eval_results=results or None,
    )
    users, items = model._seen.shape
    cold = manifest["split"]["kind"] == "cold-items"
    # Plain text, in which nothing is to be escaped.
    environment = Environment(
        loader=PackageLoader("neggen.serving.export"), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("card.md").render(
        front_matter=data.to_yaml(),
        title=title,
        name=manifest["model"],
        version=neggen.__version__,
        users=f"{users:,}",
        items=f"{items:,}",
        interactions=f"{model._seen.nnz:,}",
        repo=repo,
        names=SHOWN,
        figures={part: [f"{own[name]:.4f}" for name in SHOWN] for part, own in run.metrics.items()},
        ranked="the new items of the part" if cold else "all items, without sampling",
        split=manifest["split"],
        license=license,
        content_hash=manifest["content_hash"],
        seconds=f"{manifest['seconds']:,}",
        settings=tomli_w.dumps(manifest["settings"]),
    )
