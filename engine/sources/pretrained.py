"""Weights that a library offers for its models: what is known of them before they are fetched, and fetching them.

torchvision and timm fetch by their own functions into their own caches; from there weights are taken without a
question. Nothing is fetched unless the user allows it in this run (`ModelSpec.download`). Loads no torch.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from ..errors import Message, OpenError
from ..messages import Phrase
from ..text.format import byte_size

DEFAULT = "DEFAULT"
"""Name of the weights that a library recommends, whatever they are called."""
Fetched = TypeVar("Fetched")


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """Weights of a library, as far as it says something of them.

    Attributes:
        library: "torchvision" or "timm".
        model: Name of the model there.
        name: Of the weights there.
        address: Where they come from.
        bytes: Size of the file, 0 unknown.
        licence: Name or address of it, "" where the library does not say.
        folder: The library's cache.
        cached: They lie there.
    """

    library: str
    model: str
    name: str
    address: str
    bytes: int = 0
    licence: str = ""
    folder: str = ""
    cached: bool = False

    @property
    def size(self) -> Phrase:
        """The size in words."""
        return byte_size(self.bytes) if self.bytes else Message("source.no_size", "size unknown")


def fetch_weights(offer: PretrainedWeights, allowed: bool, fetch: Callable[[], Fetched]) -> Fetched:
    """What `fetch` brings, from the library's cache or from the network.

    Args:
        offer: The weights.
        allowed: The user allows a download in this run.
        fetch: The library's own function.

    Raises:
        OpenError: They are not in the cache and no download is allowed ("source.pretrained"), or it failed
            ("source.not_fetched").
    """
    if not offer.cached and not allowed:
        template = (
            "The pretrained weights {weights} of {model} are not in the cache of {library}. {library} downloads them "
            "from {address} ({size}, licence: {licence}) and keeps them in {folder}. Allow the download, or open a "
            "checkpoint."
        )
        raise OpenError(
            "source.pretrained",
            template,
            weights=offer.name,
            model=offer.model,
            library=offer.library,
            address=offer.address,
            size=offer.size,
            licence=offer.licence or Message("source.no_licence", "not stated by the library"),
            folder=offer.folder,
        )
    try:
        return fetch()
    except OpenError:
        raise
    except Exception as error:  # whatever libraries and the network raise
        if offer.cached:
            raise
        lines = str(getattr(error, "reason", "") or error).strip().splitlines()
        raise OpenError(
            "source.not_fetched",
            "The weights {weights} of {model} could not be downloaded from {host}: {error}. Check the connection and "
            "try again, or open a checkpoint.",
            repr(error),
            weights=offer.name,
            model=offer.model,
            host=urlsplit(offer.address).hostname or offer.address,
            error=(lines[0] if lines else type(error).__name__).rstrip("."),
        ) from error


def two_weights(model: str) -> OpenError:
    """A checkpoint and pretrained weights were asked for."""
    return OpenError(
        "source.two_weights",
        "Both a checkpoint and pretrained weights are given for {model}. Choose one of them.",
        model=model,
    )


def no_such_weights(library: str, model: str, asked: str, known: Iterable[str]) -> OpenError:
    """The library has no weights of that name for the model."""
    template = "{library} has no weights {weights!r} for {model}. It has: {known}."
    names = ", ".join(known) or Message("source.no_weights", "none")
    return OpenError("source.weights_name", template, library=library, weights=asked, model=model, known=names)
