"""What is known of what the structures of a layer do: plain data, which the window reads. No torch."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..errors import Message


class MapForm(StrEnum):
    """What a response of a sample is laid out over: an image, tokens of a text, or nothing that can be drawn."""

    IMAGE = "image"
    TOKENS = "tokens"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SampleView:
    """A sample as a person sees it.

    Attributes:
        picture: The image as a JPEG file, at most 128 pixels on a side; empty where it is no image.
        tokens: Its tokens as text, () where it is no text.
        words: What it is otherwise: its first numbers; "" for an image or a text.
        label: Its class in words, "" unknown.
    """

    picture: bytes
    tokens: tuple[str, ...]
    words: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class AttentionView:
    """Where heads look; n structures, a samples.

    Attributes:
        samples: [a] numbers among `LayerResponses.samples`.
        maps: [n, a, h, w] attention, 255 the largest of each map: over the patches of an image, or from each of the
            first tokens of a text (rows) to each of them (columns).
        form: `MapForm.IMAGE` or `MapForm.TOKENS`.
        entropy: [n] mean entropy of a query's attention, in bits.
        distance: [n] mean distance between a query and what it attends to: in patches of an image, in tokens of a text.
        first: [n] share of the attention that goes to the first token.
    """

    samples: NDArray[np.int32]
    maps: NDArray[np.uint8]
    form: MapForm
    entropy: NDArray[np.float32]
    distance: NDArray[np.float32]
    first: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LayerResponses:
    """What the structures of a coupled set do on samples of the train split; n structures, k samples for each.

    A structure's *response* is what the rest of the network gets of it: the value that enters the layer which reads
    it, behind activations and normalisation. Of a head, or anything that has several values at a place, it is their L2
    norm.

    Attributes:
        key: Of the coupled set.
        module: Layer whose output it is.
        reader: Parameter whose layer reads it there; the one that computes it where nothing with weights reads it.
        structures: [n] numbers of the structures that are left.
        samples: Those that are shown.
        top: [n, k] number of the samples that excite each structure most, in order; -1 where there were fewer.
        values: [n, k] largest response of each of them, NaN where there is none.
        form: What maps are laid out over.
        maps: [n, k, h, w] the responses: 255 is the structure's largest, 0 is 0 or below; h = 0 for `MapForm.NONE`.
        starts: [n, k] for tokens, the number of the token at which the map begins.
        active: [n] share of places and samples at which the response is above 0; NaN for norms.
        deviation: [n] standard deviation of the response over places and samples.
        dead: [n] it is the same at every place of every sample.
        classes: Names of the classes that samples had.
        class_counts: [c] samples of each.
        class_means: [n, c] mean response of the samples of each.
        partners: [n, p] numbers of the structures that respond most like each, in order; -1 for none.
        similarity: [n, p] correlation of the responses (-1 to 1); of structures with several values at a place the root
            of the linear centred kernel alignment (0 to 1).
        attention: Of heads, where it is seen.
        seen: Samples that were looked at.
        total: Samples that will be.
        notes: What could not be shown, and why.
    """

    key: str
    module: str
    reader: str
    structures: NDArray[np.int64]
    samples: tuple[SampleView, ...]
    top: NDArray[np.int32]
    values: NDArray[np.float32]
    form: MapForm
    maps: NDArray[np.uint8]
    starts: NDArray[np.int32]
    active: NDArray[np.float32]
    deviation: NDArray[np.float32]
    dead: NDArray[np.bool_]
    classes: tuple[str, ...]
    class_counts: NDArray[np.int64]
    class_means: NDArray[np.float32]
    partners: NDArray[np.int64]
    similarity: NDArray[np.float32]
    attention: AttentionView | None
    seen: int
    total: int
    notes: tuple[Message, ...] = ()

    def place(self, structure: int) -> int:
        """Row of a structure, -1 where it is none of these."""
        found = np.flatnonzero(self.structures == structure)
        return int(found[0]) if len(found) else -1

    def alike(self, structure: int, least: float) -> NDArray[np.int64]:
        """Numbers of the structures that respond like one, at least so much; without itself."""
        row = self.place(structure)
        if row < 0:
            return np.zeros(0, np.int64)
        return self.partners[row][(self.similarity[row] >= least) & (self.partners[row] >= 0)]


@dataclass(frozen=True, slots=True, eq=False)
class ModelActivity:
    """How active the structures of a whole model are on samples of the train split.

    Attributes:
        active: [S] share of places and samples at which the response is above 0; NaN for norms, and where unknown.
        redundancy: [S] how much another structure of the set responds like it, as `LayerResponses.similarity` without
            its sign; 1 where it responds the same everywhere; NaN where unknown.
        seen: Samples that were looked at.
        unseen: Coupled sets of which nothing was seen.
    """

    active: NDArray[np.float32]
    redundancy: NDArray[np.float32]
    seen: int
    unseen: int
