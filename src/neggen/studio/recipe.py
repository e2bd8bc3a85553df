"""How to get the same again: commands and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neggen.config import DRAWN_SPLITS, SplitConfig
from neggen.encoding.store import encode_command
from neggen.encoding.text import EMBEDDED
from neggen.errors import quoted
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.reviews import BY_HAND
from neggen.models import model_class
from neggen.overrides import flat, override
from neggen.run_names import usual_name
from neggen.studio.groups import RunGroup
from neggen.workspace import Workspace, read_toml


@dataclass(frozen=True)
class RunRecipe:
    """A run's name and its settings as text, one name and value each."""

    name: str
    model: str
    title: str
    settings: tuple[tuple[str, str], ...]


def commands(
    workspace: Workspace,
    manifest: Mapping[str, Any],
    generators: Sequence[str],
    groups: Sequence[RunGroup],
) -> list[str]:
    """Return the commands that make the workspace and train its runs, one a line."""
    place = quoted(workspace.path)
    lines = [f"neggen import {quoted(manifest['source'])} {place}"]
    for generator in generators:
        kind, _, model = generator.partition(": ")
        ways = {
            CatalogueBackend.name: "",
            RecordedBackend.name: " --answers FILE",
            "local": f" --local {quoted(model)}",
            OpenAICompatibleBackend.name: f" --model {quoted(model)}",
        }
        if generator != BY_HAND:
            by = ways.get(kind, f" --backend {quoted(kind)}")
            lines.append(f"neggen generate {place}{by}")
    if workspace.vectors_manifest_path.is_file():
        lines.append(" ".join(["neggen", encode_command(workspace), *_encoders(workspace)]))
    for group in groups:
        for run, made in zip(group.runs, group.manifests, strict=True):
            if not run.holds_out:
                if run.folder.name != usual_name(made):  # else a base that was trained with it
                    lines.append(f"neggen refit RUN --name {quoted(run.folder.name)}")
                continue
            changed = [*_changed_split(made), *_changed_settings(made)]
            if run.folder.name != usual_name(made):
                changed.append(f"--name {quoted(run.folder.name)}")
            lines.append(" ".join(["neggen train", place, "--model", group.model, *changed]))
            lines.append(f"neggen evaluate {quoted(run.folder)}")
    return lines


def run_recipes(groups: Sequence[RunGroup]) -> list[RunRecipe]:
    """Return every run's settings, nested ones with dots."""
    return [
        RunRecipe(
            run.folder.name,
            group.model,
            group.title,
            tuple((name, str(value)) for name, value in flat(manifest)),
        )
        for group in groups
        for run, manifest in zip(group.runs, group.manifests, strict=True)
    ]


def _encoders(workspace: Workspace) -> Iterator[str]:
    """Yield the options that name who encoded texts and pictures."""
    encoder = read_toml(workspace.vectors_manifest_path).get("encoder", EMBEDDED)
    if encoder != EMBEDDED:
        yield f"--encoder {quoted(encoder)}"
    if workspace.pictures_manifest_path.is_file():
        encoder = read_toml(workspace.pictures_manifest_path, "encoder")["encoder"]
        yield f"--pictures {quoted(encoder)}"


def _changed_settings(manifest: Mapping[str, Any]) -> Iterator[str]:
    usual = dict(flat(model_class(manifest["model"]).config_class().identity()))
    for name, value in flat(manifest["settings"]):
        if value != usual.get(name) and name != "seed":
            yield f"--set {quoted(override(name, value))}"


def _changed_split(manifest: Mapping[str, Any]) -> Iterator[str]:
    split, seed = SplitConfig.build(manifest["split"]), manifest["settings"]["seed"]
    yield f"--split {split.kind}"
    for name, share in split.unusual_shares.items():
        yield f"--{name.replace('_', '-')} {share:g}"
    if seed:
        yield f"--seed {seed}"
    if split.seed != seed and split.kind in DRAWN_SPLITS:
        yield f"--split-seed {split.seed}"
