"""Products onto connections: balanced shards, and the smallest change when the products change. Pure.

A shard is the tuple of products of one connection slot. The products come sorted by activity, the busiest first, and
are dealt out one by one, so that no slot gets two of the busiest while another gets none.
"""

from collections.abc import Iterable, Sequence
from math import ceil

Shards = tuple[tuple[str, ...], ...]


def shards_needed(product_count: int, per_connection: int) -> int:
    """Return how many connections the products need; 0 for none."""
    return ceil(product_count / per_connection)


def assign(product_ids: Iterable[str], per_connection: int, current: Sequence[Sequence[str]] = ()) -> Shards:
    """Return the shards for these products, each of at most ``per_connection``, sizes differing by at most one.

    Products that stay keep their slot as far as balance allows; slots keep their index, and only the last ones are
    given up when fewer are needed. Duplicates count once.
    """
    wanted = list(dict.fromkeys(product_ids))
    count = shards_needed(len(wanted), per_connection)
    if count == 0:
        return ()
    remaining = set(wanted)
    shards: list[list[str]] = []
    for index in range(count):
        kept = [item for item in (current[index] if index < len(current) else ()) if item in remaining]
        remaining.difference_update(kept)
        shards.append(kept)
    low, larger = divmod(len(wanted), count)
    # the fullest slots are the ones that may keep one product more: fewer have to move
    by_size = sorted(range(count), key=lambda index: -len(shards[index]))
    capacity = {index: low + (rank < larger) for rank, index in enumerate(by_size)}
    for index, shard in enumerate(shards):
        remaining.update(shard[capacity[index] :])
        del shard[capacity[index] :]
    homeless = (item for item in wanted if item in remaining)
    for item in homeless:
        target = min((i for i in range(count) if len(shards[i]) < capacity[i]), key=lambda i: len(shards[i]))
        shards[target].append(item)
    return tuple(tuple(shard) for shard in shards)
