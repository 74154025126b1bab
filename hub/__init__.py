"""Price Hub: live exchange prices, fanned out, each with the proof that it can be trusted.

Importing this package patches nothing and starts nothing: ``from hub import PriceHub`` loads the composition root on
first use, so that an entry point may patch the standard library first (see ``hub.green``).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.hub import PriceHub

__version__ = "0.1.0"
__all__ = ["PriceHub", "__version__"]


def __getattr__(name: str) -> object:
    if name == "PriceHub":
        from hub.hub import PriceHub

        return PriceHub
    raise AttributeError(f"module 'hub' has no attribute {name!r}")
