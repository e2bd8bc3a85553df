"""What can be read off the texts alone: what was changed, what repeats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

import polars as pl

from neggen.generation.records import MASK, fill
from neggen.generation.stock import stock_replacements

TOKEN = r"\w+"


def text_measures(records: pl.DataFrame) -> pl.DataFrame:
    """Measure every record by its words.

    Args:
        records: rows with the columns of ``neggen.generation.records.SCHEMA``.

    Returns:
        One row a record, in the same order:

        - ``slots``: key attributes in the description;
        - ``context_share``: share of the description's tokens that lie outside the slots;
        - ``unchanged``: share of those that stand in the negative in the same order; 1 in every
          valid record;
        - ``duplicate``: the same negative belongs to another record of the modality, or it is the
          description of one;
        - ``stock_share``: share of the slots filled with a stock answer (:func:`stock_answers`).
    """
    said = pl.col("negative").pipe(_plain)
    described = (
        records.select("modality", _plain(pl.col("description")).alias("key"))
        .unique()
        .with_columns(is_description=True)
    )
    stock = stock_answers(records).select("modality", pl.col("phrase").alias("key"), stock=True)
    shares = (
        _phrases(records, "replacements")
        .join(stock, on=["modality", "key"], how="left")
        .group_by("row")
        .agg(pl.col("stock").is_not_null().mean().alias("stock_share"))
    )
    outside = pl.col("template").str.replace_all(MASK, " ", literal=True)
    return (
        records.with_row_index("row")
        .with_columns(key=said)
        .join(described, on=["modality", "key"], how="left")
        .join(shares, on="row", how="left")
        .sort("row")
        .select(
            pl.col("values").list.len().cast(pl.Int32).alias("slots"),
            (_count(outside) / _count(pl.col("description"))).fill_nan(0.0).alias("context_share"),
            pl.Series("unchanged", _unchanged_shares(records), pl.Float64),
            (pl.col("is_description").is_not_null() | (pl.len().over("modality", "key") > 1)).alias(
                "duplicate"
            ),
            pl.col("stock_share").fill_null(0.0),
        )
    )


def stock_answers(records: pl.DataFrame) -> pl.DataFrame:
    """Count the stock replacements (:func:`neggen.generation.stock.stock_replacements`).

    Returns:
        ``modality``, ``phrase`` (lower case), ``items`` it is used for and ``items_with_value``,
        those it is true of; most used first.
    """
    stock = pl.DataFrame(
        list(stock_replacements(records)),
        schema={"modality": pl.String, "key": pl.String},
        orient="row",
    )
    used, true = (
        _phrases(records, column)
        .group_by("modality", "key")
        .agg(pl.col("item_id").n_unique().alias(name))
        for column, name in (("replacements", "items"), ("values", "items_with_value"))
    )
    return (
        stock.join(used, on=["modality", "key"])
        .join(true, on=["modality", "key"], how="left")
        .with_columns(pl.col("items_with_value").fill_null(0))
        .select("modality", pl.col("key").alias("phrase"), "items", "items_with_value")
        .sort(["items", "modality", "phrase"], descending=[True, False, False])
    )


def distinct(phrases: Sequence[str], n: int) -> float | None:
    """Return distinct-n (Li et al. 2016): different n-grams over all n-grams; None without any.

    >>> distinct(["a red mug", "a red pen"], 1)
    0.6666666666666666
    """
    grams = [gram for phrase in phrases for gram in _grams(phrase, n)]
    return len(set(grams)) / len(grams) if grams else None


def _grams(phrase: str, n: int) -> Iterable[tuple[str, ...]]:
    tokens = re.findall(TOKEN, phrase.lower())
    return zip(*(tokens[start:] for start in range(n)), strict=False)


def _unchanged_shares(records: pl.DataFrame) -> list[float]:
    texts = records.select("template", "replacements", "negative").iter_rows()
    return [_unchanged(*text) for text in texts]


def _unchanged(template: str, replacements: list[str], negative: str) -> float:
    slots = template.count(MASK)
    if slots == len(replacements) and fill(template, tuple(replacements)) == negative:
        return 1.0
    outside = re.findall(TOKEN, template.replace(MASK, " "))
    if not outside:
        return 1.0
    inside = re.findall(TOKEN, negative)
    matches = SequenceMatcher(None, outside, inside, autojunk=False).get_matching_blocks()
    return sum(match.size for match in matches) / len(outside)


def _phrases(records: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return one row a slot: ``row``, ``item_id``, ``modality`` and the phrase as ``key``."""
    return (
        records.with_row_index("row")
        .select("row", "item_id", "modality", pl.col(column).alias("key"))
        .explode("key")
        .with_columns(pl.col("key").str.to_lowercase())
    )


def _plain(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.strip_chars()


def _count(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(TOKEN)
