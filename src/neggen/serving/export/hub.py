"""A folder for the Hugging Face Hub, and the way there."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import torch

from neggen.errors import NegGenError, from_extra
from neggen.models.base import Recommender
from neggen.models.loading import load
from neggen.runs import Run
from neggen.serving.export.card import card_of
from neggen.serving.export.scoring import checked_users
from neggen.workspace import write_text

TOKEN_VARIABLE = "HF_TOKEN"
ENDPOINT_VARIABLE = "HF_ENDPOINT"


def write_hub(
    run: Run,
    model: Recommender,
    folder: Path,
    *,
    license: str | None = None,
    repo: str | None = None,
) -> dict[str, int]:
    """Write the model as ``save`` does, without pickles, and its card, ``README.md``.

    The folder is loaded again with :func:`neggen.load` and must score exactly alike.

    Args:
        run: the run.
        model: its model.
        folder: an existing folder.
        license: an identifier of the Hub, such as ``apache-2.0``.
        repo: where the model will be, for the card.

    Returns:
        How many users were checked.

    Raises:
        NegGenError: If huggingface-hub is missing, or the written model scores otherwise.
    """
    model.save(folder)
    write_text(folder / "README.md", card_of(run, model, license=license, repo=repo))
    users = torch.from_numpy(checked_users(model))
    if not torch.equal(load(folder).score_index(users), model.score_index(users).cpu()):
        raise NegGenError(
            f"The model of {run.folder} scores otherwise once written; delete that folder and "
            f"train again."
        )
    return {"checked users": len(users)}


def push(run: Run, repo: str, *, license: str | None = None, public: bool = False) -> str:
    """Upload a run's model and its card to the Hugging Face Hub, as one repository.

    The token is read from ``HF_TOKEN`` and from nowhere else, the address from ``HF_ENDPOINT``. A
    model holds who used what, so that repositories are private unless ``public``.

    Args:
        run: a finished run.
        repo: ``name`` or ``owner/name``; it is made if it is not there.
        license: an identifier of the Hub, such as ``apache-2.0``.
        public: whether everybody may download it.

    Returns:
        The address of the repository.

    Raises:
        NegGenError: If there is no token, the repository is public though ``public`` is not set,
            or the Hub refuses or cannot be reached.
    """
    with from_extra("export", "Pushing needs huggingface-hub"):
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
        from huggingface_hub.utils.tqdm import disable_progress_bars
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise NegGenError(
            f"There is no token to push with; set the environment variable {TOKEN_VARIABLE} to one "
            f"that may write."
        )
    disable_progress_bars()
    hub = HfApi(endpoint=os.environ.get(ENDPOINT_VARIABLE) or None, token=token)
    try:
        with tempfile.TemporaryDirectory(prefix="neggen-push-") as temporary:
            folder, model = Path(temporary), run.load_model()
            # First, or a model that cannot be written would leave an empty repository.
            write_hub(run, model, folder, license=license, repo=repo)
            place = hub.create_repo(repo, private=not public, exist_ok=True)
            if not public and not hub.model_info(place.repo_id).private:
                raise NegGenError(
                    f"{place.repo_id} is public and this model holds who used what; choose another "
                    f"name, or give --public if everybody may have it."
                )
            card = card_of(run, model, license=license, repo=place.repo_id)  # which names the owner
            write_text(folder / "README.md", card)
            with warnings.catch_warnings():
                # Of Parquet in a model: here, it holds the model's ids.
                warnings.filterwarnings("ignore", "It seems that you are about to commit a data")
                hub.upload_folder(
                    repo_id=place.repo_id,
                    folder_path=folder,
                    commit_message=f"A {run.manifest['model']} model of neggen",
                )
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) else None  # of a large file
        reason = " ".join(str(cause or error).replace(token, "[token]").split())
        raise NegGenError(f"{repo} cannot be pushed to {hub.endpoint}: {reason}") from None
    return str(place)
