"""Images that are the same or nearly so, found by their perceptual hashes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


HASH_BITS = 64
MAX_DISTANCE = 6
"""Bits by which re-encoded, resized and brightened copies mostly differ at most, and different images do not."""
MAX_DISTINCT = 50_000
"""Every distinct hash is compared with every other, which takes about 20 seconds for this many."""
_QUERIES_AT_ONCE = 512
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class NearDuplicates:
    """
    Groups of rows whose images are nearly the same, the largest group first. `len()` is the number of groups, and
    `near_duplicates[0]` holds the positions of the rows of the largest.

    Args:
        rows (`np.ndarray` of shape `(num_rows,)`): positions of all rows that stand in a group, group after group.
        sizes (`np.ndarray` of shape `(num_groups,)`): rows in each group, two or more.
        num_distinct (`int`): different hashes among all rows.
        max_distance (`int`): the bits by which neighbours may differ; 0 where only equal hashes were grouped.
    """

    rows: np.ndarray
    sizes: np.ndarray
    num_distinct: int
    max_distance: int

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> np.ndarray:
        end = int(self.sizes[: index + 1].sum())
        return self.rows[end - int(self.sizes[index]) : end]


def group_near_duplicates(
    hashes: pa.ChunkedArray, max_distance: int = MAX_DISTANCE, max_distinct: int = MAX_DISTINCT
) -> NearDuplicates:
    """
    Groups rows by their images. Two hashes are neighbours when at most `max_distance` of their 64 bits differ, and a
    group is whatever a chain of neighbours connects, so its ends may be further apart. Equal hashes are collapsed
    first. Where more than `max_distinct` different ones remain, neighbours are not sought: every row with an equal
    hash is still grouped, and `max_distance` of the result is 0.

    Args:
        hashes (`pa.ChunkedArray` of `str`): 16 hexadecimal digits each, or null where a row has no image.
        max_distance (`int`, *optional*, defaults to 6): bits that may differ; 0 groups equal hashes only.
        max_distinct (`int`, *optional*, defaults to 50000): different hashes among which neighbours are sought.

    Returns:
        [`NearDuplicates`]: equally large groups stand in the order of their smallest hash.

    Raises:
        ValueError: if a hash is not 16 hexadecimal digits.
    """
    distinct, labels = np.unique(_parse(pc.drop_null(hashes)), return_inverse=True)
    if len(distinct) > max_distinct:
        max_distance = 0
    if max_distance and len(distinct):
        labels = _connect(distinct, max_distance)[labels]
    counts = np.bincount(labels)
    by_size = np.argsort(-counts, kind="stable")
    by_size = by_size[counts[by_size] > 1]
    sizes = counts[by_size]
    rank = np.full(len(counts), len(by_size))
    rank[by_size] = np.arange(len(by_size))
    in_groups = np.argsort(rank[labels], kind="stable")[: sizes.sum()]
    rows = np.flatnonzero(pc.is_valid(hashes).to_numpy())
    return NearDuplicates(rows[in_groups], sizes, len(distinct), max_distance)


def find_near(hashes: list[str], others: list[str], max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """
    For each hash the nearest of others.

    Args:
        hashes (`list[str]`): 16 hexadecimal digits each.
        others (`list[str]`): likewise.
        max_distance (`int`, *optional*, defaults to 6): bits that may differ.

    Returns:
        `np.ndarray` of shape `(len(hashes),)`: positions in `others`; -1 where none is so near.
    """
    if not hashes or not others:
        return np.full(len(hashes), -1)
    bits, other_bits = (_unpack(_parse(pa.chunked_array([values], pa.string()))) for values in (hashes, others))
    finder = _fit(other_bits, n_neighbors=1)
    found = []
    for start in range(0, len(bits), _QUERIES_AT_ONCE):
        distances, nearest = finder.kneighbors(bits[start : start + _QUERIES_AT_ONCE])
        found.append(np.where(distances[:, 0] ** 2 < max_distance + 0.5, nearest[:, 0], -1))
    return np.concatenate(found)


def _parse(hashes: pa.ChunkedArray) -> np.ndarray:
    """The hashes as `uint64`."""
    width = HASH_BITS // 4
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        digits = hashes.slice(start, _ROWS_AT_ONCE).cast(pa.binary()).cast(pa.binary(width)).combine_chunks()
        text = digits.buffers()[1].slice(digits.offset * width, len(digits) * width).to_pybytes().decode()
        parts.append(np.frombuffer(bytes.fromhex(text), dtype=">u8").astype(np.uint64))
    return np.concatenate(parts)


def _fit(bits: np.ndarray, **options: Any) -> Any:
    # Not imported above, for it takes seconds, and most who import this package compare nothing.
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(algorithm="brute", metric="euclidean", **options).fit(bits)


def _unpack(distinct: np.ndarray) -> np.ndarray:
    """Rows of zeros and ones, between which the squared Euclidean distance is the number of bits that differ."""
    return np.unpackbits(distinct.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)


def _connect(distinct: np.ndarray, max_distance: int) -> np.ndarray:
    """For each hash the number of its group. Groups are numbered in the order of their first hash."""
    bits = _unpack(distinct)
    finder = _fit(bits, radius=(max_distance + 0.5) ** 0.5)
    groups = np.arange(len(bits))
    # In parts, for the pairs of all hashes together may not fit into memory.
    for start in range(0, len(bits), _QUERIES_AT_ONCE):
        pairs = finder.radius_neighbors_graph(bits[start : start + _QUERIES_AT_ONCE]).tocoo()
        ends = groups[start + pairs.row], groups[pairs.col]
        merged = coo_array((pairs.data, ends), shape=(len(bits), len(bits)))
        groups = connected_components(merged, directed=False)[1][groups]
    return groups
