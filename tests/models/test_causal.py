"""The causal module: what it starts from, what it ignores, and where attention runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.models.balance import Balance, with_catalog
from neggen.models.causal import CausalModule, Effects

ITEMS, WIDTH = 30, 12


def vectors_of(
    modalities: int = 2, completions: int = 1, missing: Sequence[tuple[int, int]] = ()
) -> ItemVectors:
    """Random vectors; ``missing`` lists (item, modality)."""
    rng = np.random.default_rng(modalities * 10 + completions)
    mask = np.ones((ITEMS, modalities), dtype=bool)
    for item, modality in missing:
        mask[item, modality] = False
    positive = rng.normal(1, 1, (ITEMS, modalities, WIDTH)) * mask[..., None]
    negative = rng.normal(-1, 1, (ITEMS, completions, modalities, WIDTH)) * mask[:, None, :, None]
    return ItemVectors(
        ("audio", "image", "text")[:modalities],
        positive.astype(np.float32),
        negative.astype(np.float32),
        mask,
    )


def module_of(vectors: ItemVectors, *, attends: bool = False, **settings: float) -> CausalModule:
    """Build a module; ``attends`` gives the attention's last layer weights other than zero."""
    module = CausalModule(vectors, **{"dim": 8, "heads": 2, "contrast": 0.5, "seed": 0, **settings})
    if attends:
        weights = torch.randn(module.attention.out_proj.weight.shape, generator=_generator())
        module.attention.out_proj.weight.data = weights
    return module


def run(module: CausalModule, keep: Tensor | None = None) -> Effects:
    with torch.no_grad():
        return module(torch.arange(ITEMS), keep)


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=2e-5)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("completions", [1, 3])
def test_effects_and_counterfactuals_are_unit_vectors(modalities: int, completions: int) -> None:
    module = module_of(vectors_of(modalities, completions), attends=True)
    effects, counterfactuals, _ = module(torch.tensor([3, 0, 3, 29]))
    assert effects.shape == (4, 8)
    assert counterfactuals.shape == (4, completions, 8)
    assert close(effects.norm(dim=-1), torch.ones(4))
    assert close(counterfactuals.norm(dim=-1), torch.ones(4, completions))
    assert effects[0].equal(effects[2])
    assert close(run(module)[0][[3, 0, 3, 29]], effects)  # whatever else is in the batch


@pytest.mark.parametrize("content", [0.0, 1e6, np.nan])
def test_what_a_missing_modality_holds_never_matters(content: float) -> None:
    vectors = vectors_of(completions=3, missing=[(0, 0), (5, 1)])
    changed = ItemVectors(
        vectors.modalities,
        np.where(vectors.mask[..., None], vectors.positive, np.float32(content)),
        np.where(vectors.mask[:, None, :, None], vectors.negative, np.float32(content)),
        vectors.mask,
    )
    ours, theirs = (run(module_of(each, attends=True)) for each in (vectors, changed))
    assert ours[0].equal(theirs[0])
    assert ours[1].equal(theirs[1])


def test_what_a_dropped_modality_holds_never_matters() -> None:
    module = module_of(vectors_of(), attends=True)
    keep = torch.ones(ITEMS, 2, dtype=torch.bool)
    keep[4, 1] = False
    before = run(module, keep)
    whole = run(module)
    module.positive[4, 1], module.negative[4, :, 1] = 7.0, -3.0
    after = run(module, keep)
    assert before[0].equal(after[0])
    assert before[1].equal(after[1])
    others = torch.arange(ITEMS) != 4
    assert close(before[0][others], whole[0][others])
    assert not close(before[0][4], whole[0][4])


def test_an_item_without_modalities_has_no_effect_and_finite_gradients() -> None:
    module = module_of(vectors_of(completions=3, missing=[(7, 0), (7, 1)]), attends=True)
    bias = module.attention.in_proj_bias
    bias.data = torch.randn(bias.shape, generator=_generator())  # so that attention is not zero
    module.attention.out_proj.bias.data.fill_(0.3)
    effects, counterfactuals, contexts = module(torch.arange(ITEMS))
    assert effects[7].eq(0).all()
    assert counterfactuals[7].eq(0).all()
    assert contexts[7].eq(0).all()
    (effects.sum() + counterfactuals.square().sum() + contexts.sum()).backward()
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_attention_starts_silent() -> None:
    module = module_of(vectors_of())
    silent = run(module)
    with torch.no_grad():
        module.attention.in_proj_weight.normal_(generator=_generator())
    assert run(module)[0].equal(silent[0])
    assert not close(run(module_of(vectors_of(), attends=True))[0], silent[0])


def test_attention_runs_over_modalities_not_items() -> None:
    module = module_of(vectors_of(), attends=True)
    before = run(module)[0]
    module.positive[3] += 5
    after = run(module)[0]
    others = torch.arange(ITEMS) != 3
    assert close(after[others], before[others])
    assert not close(after[3], before[3])


def test_attention_lets_one_modality_speak_through_the_other() -> None:
    # With W of the first modality at zero it adds nothing itself, yet it shares the softmax of the
    # second one, unless attention is silent.
    def answers(attends: bool) -> tuple[Tensor, Tensor]:
        module = module_of(vectors_of(), attends=attends)
        module.attention.in_proj_weight.data *= 3
        before = pooled_second(module)
        module.positive[:, 0] *= -2
        return before, pooled_second(module)

    assert close(*answers(attends=False))
    assert not close(*answers(attends=True))


def pooled_second(module: CausalModule) -> Tensor:
    """Return h⁺ less the first modality's own projection, ``[items, d]``."""
    vectors = module.positive[:, None]
    with torch.no_grad():
        pooled = module._pool(vectors, module.mask[:, None])[:, 0]
        return pooled - module.positive[:, 0] @ module.projections[0].T / 2


def test_the_order_of_modalities_does_not_matter() -> None:
    vectors = vectors_of(modalities=3, completions=2, missing=[(2, 1), (9, 0), (9, 2)])
    order = [2, 0, 1]
    turned = ItemVectors(
        tuple(vectors.modalities[m] for m in order),
        vectors.positive[:, order],
        vectors.negative[:, :, order],
        vectors.mask[:, order],
    )
    one, other = (module_of(each, attends=True) for each in (vectors, turned))
    with torch.no_grad():
        one.projections.normal_(generator=_generator())
        other.projections.copy_(one.projections[order])
    ours, theirs = run(one), run(other)
    assert close(ours[0], theirs[0])
    assert close(ours[1], theirs[1])


@pytest.mark.parametrize("contrast", [0.0, 0.25, 1.0])
def test_starts_at_the_principal_components_of_the_contrast(contrast: float) -> None:
    vectors = vectors_of(modalities=2, completions=3, missing=[(4, 0), (8, 1)])
    rows, mean = [], np.zeros((ITEMS, WIDTH))
    for m in range(2):
        present = vectors.mask[:, m]
        negative = vectors.negative[present, :, m].mean(1)
        row = vectors.positive[present, m] - contrast * negative
        row = row - row.mean(0)
        row = row / np.sqrt((row**2).sum(1).mean())
        rows.append(row)
        mean[present] += row / vectors.mask[present].sum(1, keepdims=True)
    _, _, directions = np.linalg.svd(np.concatenate(rows), full_matrices=False)
    projected = F.normalize(torch.from_numpy(mean @ directions[:8].T).float(), dim=-1)
    effects, *_ = run(module_of(vectors, contrast=contrast))
    assert close(effects @ effects.T, projected @ projected.T)
    # As wide as the vectors or wider, nothing of the geometry is lost.
    geometry = F.normalize(torch.from_numpy(mean).float(), dim=-1)
    wide, *_ = run(module_of(vectors, contrast=contrast, dim=16))
    assert close(wide @ wide.T, geometry @ geometry.T)
    assert not close(effects @ effects.T, geometry @ geometry.T)


def test_the_counterfactual_is_what_the_negative_says_by_itself() -> None:
    vectors = vectors_of()
    swapped = ItemVectors(
        vectors.modalities, vectors.negative[:, 0], vectors.positive[:, None], vectors.mask
    )
    module, mirror = (module_of(each, attends=True, contrast=0.0) for each in (vectors, swapped))
    with torch.no_grad():
        mirror.positive.copy_(module.negative[:, 0])
        mirror.negative.copy_(module.positive[:, None])
        mirror.projections.copy_(module.projections)
    assert close(run(module)[1][:, 0], run(mirror)[0])
    assert close(run(module)[0], run(mirror)[1][:, 0])


def test_full_contrast_cancels_what_description_and_negative_share() -> None:
    vectors = vectors_of(completions=2)
    rng = np.random.default_rng(0)
    context = rng.normal(0, 3, (ITEMS, 2, WIDTH)).astype(np.float32)
    shifted = ItemVectors(
        vectors.modalities,
        vectors.positive + context,
        vectors.negative + context[:, None],
        vectors.mask,
    )
    for contrast, cancels in ((1.0, True), (0.5, False)):
        ours, theirs = (run(module_of(each, contrast=contrast)) for each in (vectors, shifted))
        assert close(ours[0], theirs[0]) is cancels
        assert not close(ours[1], theirs[1]), "a negative alone tells of its context, too"


# -- the items' own texts ---------------------------------------------------------------------


def with_text(vectors: ItemVectors, without: Sequence[int] = ()) -> ItemVectors:
    """Give every item a random text of its own, but those of ``without``."""
    text = np.random.default_rng(4).normal(1, 1, (ITEMS, WIDTH)).astype(np.float32)
    text[list(without)] = 0
    return replace(vectors, text=text)


def test_a_text_enters_the_description_and_is_never_subtracted() -> None:
    vectors = with_text(vectors_of(completions=2, missing=[(6, 0), (6, 1)]), without=[2])
    module = module_of(with_catalog(vectors), attends=True, contrast=1.0)
    assert module.balance.modalities == ("audio", "image", "catalog")
    assert module.mask[2].tolist() == [True, True, False]
    assert module.negative[:, :, 2].eq(0).all()
    before = run(module)
    module.negative[:, :, 2] = 9.0  # nobody looks there
    assert all(one.equal(other) for one, other in zip(run(module), before, strict=True))
    module.positive[3, 2] += 5
    after = run(module)
    others = torch.arange(ITEMS) != 3
    assert close(after.effects[others], before.effects[others])
    assert not close(after.effects[3], before.effects[3])
    # An item without a text is as it is without the modality; one with nothing else has no other
    # self.
    assert after.counterfactuals[6].eq(0).all()
    assert not after.effects[6].eq(0).any()


def test_the_mean_with_a_text_by_hand() -> None:
    # Silent attention, g the identity: h⁺ is the mean of three projections, h⁻ has a third each.
    vectors = with_text(vectors_of(completions=2, missing=[(5, 1)]))
    module = module_of(with_catalog(vectors), contrast=0.5)
    found = run(module)
    weights, positive = module.projections.detach(), module.positive
    negative = module.negative.mean(1)
    for item, there in ((4, (0, 1)), (5, (0,))):
        z = {m: weights[m] @ positive[item, m] for m in (*there, 2)}
        factual = sum(z.values()) / len(z)
        changed = sum(weights[m] @ negative[item, m] for m in there) / len(z)
        assert close(found.effects[item], F.normalize(factual - 0.5 * changed, dim=0))
        assert close(found.contexts[item], (factual + changed) / 2)


def test_a_text_leaves_the_cancelling_of_context_alone() -> None:
    vectors = with_text(vectors_of(completions=2))
    context = np.random.default_rng(0).normal(0, 3, (ITEMS, 2, WIDTH)).astype(np.float32)
    shifted = replace(
        vectors,
        positive=vectors.positive + context,
        negative=vectors.negative + context[:, None],
    )
    ours, theirs = (run(module_of(with_catalog(v), contrast=1.0)) for v in (vectors, shifted))
    assert close(ours.effects, theirs.effects)


# -- balance ----------------------------------------------------------------------------------


def test_balance_is_kept_for_items_described_later() -> None:
    vectors = vectors_of(completions=2, missing=[(1, 0)])
    balance = Balance.restored(Balance.fit(vectors, 0.5).tensors())
    assert balance.modalities == vectors.modalities
    positive, negative = balance.apply(vectors)
    few = replace(
        vectors,
        positive=vectors.positive[:3],
        negative=vectors.negative[:3],
        mask=vectors.mask[:3],
    )
    ours = balance.apply(few)
    assert np.array_equal(ours[0], positive[:3])
    assert np.array_equal(ours[1], negative[:3])
    module = module_of(vectors, attends=True)
    with torch.no_grad():
        found = module.of(few)
    assert all(close(one, other[:3]) for one, other in zip(found, run(module), strict=True))


def test_balance_refuses_other_modalities_and_widths() -> None:
    balance = Balance.fit(vectors_of(), 0.5)
    with pytest.raises(
        NegGenError, match=r"knows the modalities audio, image .* these are audio of"
    ):
        balance.apply(vectors_of(modalities=1))
    narrow = replace(vectors_of(), positive=np.zeros((ITEMS, 2, 3), np.float32))
    with pytest.raises(NegGenError, match=r"width 12, but .* width 3"):
        balance.apply(narrow)


@pytest.mark.parametrize("scale", [100.0, 0.01])
def test_no_modality_drowns_the_other(scale: float) -> None:
    vectors = vectors_of(completions=2)
    scales = np.array([scale, 1.0], dtype=np.float32)[:, None]
    scaled = ItemVectors(
        vectors.modalities, vectors.positive * scales, vectors.negative * scales, vectors.mask
    )
    ours, theirs = (run(module_of(each, attends=True)) for each in (vectors, scaled))
    assert close(ours[0], theirs[0])
    assert close(ours[1], theirs[1])


def test_a_style_that_all_negatives_share_tells_nothing() -> None:
    vectors = vectors_of(completions=2)
    style = np.linspace(-2, 2, WIDTH, dtype=np.float32)
    styled = ItemVectors(
        vectors.modalities, vectors.positive, vectors.negative + style, vectors.mask
    )
    ours, theirs = (run(module_of(each)) for each in (vectors, styled))
    assert close(ours[0], theirs[0])
    assert close(ours[1], theirs[1])


def test_the_seed_alone_decides() -> None:
    vectors = vectors_of()
    torch.manual_seed(1)
    first, state = module_of(vectors), torch.get_rng_state()
    torch.manual_seed(2)
    second = module_of(vectors)
    other = module_of(vectors, seed=1)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(ours.equal(theirs) for ours, theirs in pairs)
    assert not first.attention.in_proj_weight.equal(other.attention.in_proj_weight)
    torch.manual_seed(1)
    assert torch.get_rng_state().equal(state)


def test_vectors_are_left_as_they_were() -> None:
    vectors = vectors_of(missing=[(1, 1)])
    before = vectors.content_hash
    module_of(vectors)
    assert vectors.content_hash == before
