"""Runs forwards of several batches in step: each pauses at the products that are watched. Loads torch.

A layer can so be repaired between what comes before it and what follows, from all batches at once, and each batch runs
only once. One forward runs at a time, each in a thread of its own, so that a model's code needs to know nothing of it.
What the paused forwards hold is the activations that live at that place.
"""

import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..inference.model_inputs import Inputs, call, filled
from ..jobs import CancelToken
from ..scoring.cancellable_autograd import interruptible
from ..tracing.shadow_model import isolated_copy
from ..tracing.weight_products import WeightProduct, WeightProducts


class _EndedEarlyError(BaseException):
    """Unwinds a forward of which nothing more is needed."""


class PausingForward:
    """One forward of a model on one batch, in a thread; it runs only within `advance`.

    Attributes:
        site: The product at which it pauses; None before it began and after it ended.
        copied: The copy of the model that runs, for hooks; None where the model itself does.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        sites: Collection[str],
        before: bool,
        token: CancelToken,
        present: Tensor | None = None,
    ) -> None:
        """Prepare a forward.

        Args:
            model: What runs is a copy of it with the same parameters, so that forwards do not meet in its state.
            inputs: Of one batch.
            sites: Names of weights; it pauses at the first product of each.
            before: It pauses before these products run, else behind them.
            token: Cancels between modules.
            present: [N, T] flags of the tokens that count.
        """
        self.site: WeightProduct | None = None
        self._model, self._inputs, self._token = own_copy(model), inputs, token
        self.copied = None if self._model is model else self._model
        pause = {"before": self._pause} if before else {"seen": self._pause}
        weights = dict(model.named_parameters())
        self._watch = WeightProducts(weights, others=list(self._model.buffers()), only=sites, **pause)
        self._watch.present = present
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._ending, self._ended, self._threads = False, False, torch.get_num_threads()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="secateur-forward", daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Go on to the next pause or the end; what the forward raises is raised here."""
        if not self._ended:
            self.site = None
            with interruptible(self._token), plain_attention():
                self._go.release()
                self._paused.acquire()
            if self._error is not None:
                raise self._error

    def end(self) -> None:
        """Leave the forward where it is, and its thread."""
        self._ending = True
        self._go.release()
        self._thread.join()
        self.site = None

    def _run(self) -> None:
        self._go.acquire()
        torch.set_num_threads(self._threads)  # each thread has a number of its own
        try:
            if not self._ending:
                with torch.no_grad(), self._watch:
                    call(self._model, self._inputs)
        except _EndedEarlyError:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._watch.forget()
            self._ended = True
            self._paused.release()

    def _pause(self, product: WeightProduct) -> None:
        if self._ending:  # the model's code has caught what ended it
            raise _EndedEarlyError
        if product.call:
            return
        self.site = product
        self._paused.release()
        self._go.acquire()
        if self._ending:
            raise _EndedEarlyError


@contextmanager
def paused_forwards(
    models: Sequence[tuple[nn.Module, bool]], batches: Sequence[Inputs], sites: Collection[str], token: CancelToken
) -> Generator[list[tuple[PausingForward, ...]]]:
    """For each batch a forward of each of (model, whether it pauses before a product); all ended afterwards."""
    made: list[PausingForward] = []
    try:
        for inputs in batches:
            present = filled(inputs)
            for model, before in models:
                made.append(PausingForward(model, inputs, sites, before, token, present))
        yield [tuple(made[n : n + len(models)]) for n in range(0, len(made), len(models))]
    finally:
        for forward in made:
            forward.end()


def advance_in_order(
    forwards: Sequence[tuple[PausingForward, ...]], order: Mapping[str, int]
) -> Generator[tuple[str, list[tuple[WeightProduct | None, ...]]]]:
    """Advance all forwards; give each site once, with what paused there in each batch (None: it does not come there).

    Args:
        forwards: A tuple a batch.
        order: Place of each site in a run; one that is not in it comes as soon as a forward has reached it.
    """
    every = [one for some in forwards for one in some]
    for one in every:
        one.advance()
    while True:
        waiting = {one.site.name for one in every if one.site is not None}
        if not waiting:
            return
        name = min(waiting, key=lambda site: (order.get(site, -1), site))
        here = [tuple(one.site if one.site and one.site.name == name else None for one in some) for some in forwards]
        yield name, here
        del here
        for one in every:
            if one.site is not None and one.site.name == name:
                one.advance()


@contextmanager
def plain_attention() -> Generator[None]:
    """`nn.MultiheadAttention` as its products: its fast path is one operator."""
    before = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def own_copy(model: nn.Module) -> nn.Module:
    """A copy with the same parameters, so that what a forward leaves in it disturbs no other; else the model itself."""
    try:
        return isolated_copy(model)
    except Exception:  # a model that cannot be copied
        return model
