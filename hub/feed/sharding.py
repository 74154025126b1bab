"""Products onto connections: balanced shards, and the smallest change when the products change. Pure.

A shard is the tuple of products of one connection slot. At the start the products, the busiest first, are dealt out one
by one, so that no slot gets two of the busiest while another gets none. After that a change touches few connections:

- one that leaves touches its own; one that joins goes to the slot with the fewest, and new slots are opened when the
  others are full;
- one that stays moves only where a slot is over a third larger than another (by two products at least): from the
  fullest to the emptiest, at most one a change. So a change touches three connections at most, and a slot that was
  opened for one product fills with those that join, not by tearing many away from theirs;
- a slot goes when it is empty, not when the others could hold its products. If it is not the last one, the last one's
  product takes its place: slots keep their numbers, and there is no hole.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heapreplace
from math import ceil

Shards = tuple[tuple[str, ...], ...]


def shards_needed(product_count: int, per_connection: int) -> int:
    """Return how many connections the products need at the least; 0 for none."""
    return ceil(product_count / per_connection)


def unbalanced(smallest: int, largest: int) -> bool:
    """Tell whether two sizes differ by more than a third, and by more than the one that can't be helped."""
    return largest - smallest > 1 and 3 * largest > 4 * smallest


def assign(product_ids: Iterable[str], per_connection: int, current: Sequence[Sequence[str]] = ()) -> Shards:
    """Return the shards for these products (the busiest first), each of at most ``per_connection``, none empty.

    Duplicates count once. ``current`` are the shards of now; what does not fit into its slot any more counts as new.
    """
    rank = {item: number for number, item in enumerate(dict.fromkeys(product_ids))}
    homeless = dict(rank)
    shards: list[list[str]] = []
    for held in current:
        kept = [item for item in held if homeless.pop(item, None) is not None]
        homeless.update((item, rank[item]) for item in kept[per_connection:])
        shards.append(kept[:per_connection])
    changes = len(homeless) + len({item for held in current for item in held} - rank.keys())
    while len(shards) < shards_needed(len(rank), per_connection):
        shards.append([])
    sizes = [(len(shard), number) for number, shard in enumerate(shards)]
    heapify(sizes)
    for item in sorted(homeless, key=rank.__getitem__):
        size, number = sizes[0]
        shards[number].append(item)
        heapreplace(sizes, (size + 1, number))
    for _ in range(changes if shards else 0):
        smallest, largest = min(shards, key=len), max(shards, key=len)
        if not unbalanced(len(smallest), len(largest)):
            break
        smallest.append(_least_busy(largest, rank))
    return tuple(tuple(shard) for shard in _without_holes(shards, rank))


def _least_busy(shard: list[str], rank: dict[str, int]) -> str:
    """Take the least busy product out of a shard."""
    item = max(shard, key=rank.__getitem__)
    shard.remove(item)
    return item


def _without_holes(shards: list[list[str]], rank: dict[str, int]) -> list[list[str]]:
    """Give every empty slot one product: of the fullest, or the last where none has two; drop trailing ones."""
    index = 0
    while index < len(shards):
        if not shards[-1]:
            shards.pop()
            continue
        if not shards[index]:
            fullest = max(shards, key=len)
            shards[index].append(_least_busy(fullest if len(fullest) > 1 else shards[-1], rank))
        index += 1
    return shards
