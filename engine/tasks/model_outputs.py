"""Runs a model in evaluation mode and finds the logits among its outputs, with errors for what can go wrong."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import Message, SecateurError, TaskError
from ..inference.model_inputs import Inputs, call, named_arrays
from ..messages import Phrase
from ..tracing.isolated_forward import random_state_restored, uncompiled
from ..tracing.model_state import model_state_restored


def logits(outputs: Any) -> torch.Tensor:
    """The logits [N, classes] among a model's outputs: the tensor itself, `.logits`, or the first of several."""
    found = main_output(outputs)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        template = "Model output is {given}; classification expects [N, classes]. Describe the task in a task.py."
        raise TaskError("task.outputs", template, given=described_type(found))
    return found


def main_output(outputs: Any) -> Any:
    """The one output that counts, arrays as tensors: the tensor itself, `.logits`, or the first of several."""
    if isinstance(outputs, np.ndarray):
        return torch.from_numpy(cast("NDArray[Any]", outputs))
    named = dict(cast("Mapping[Any, Any]", outputs)) if isinstance(outputs, Mapping) else {}
    several = list(cast("Sequence[Any]", outputs)) if isinstance(outputs, list | tuple) else list(named.values())
    by_name: Any = named.get("logits", getattr(cast("Any", outputs), "logits", None))
    if by_name is None and not several:
        return cast("Any", outputs)
    return main_output(several[0] if by_name is None else by_name)


def widened(answers: torch.Tensor) -> torch.Tensor:
    """The outputs in at least 32 bits, because targets must not be rounded to fewer."""
    return answers if answers.dtype == torch.float64 else answers.float()


def described_type(given: Any) -> Phrase:
    """Describes a value for an error: a tensor by its shape, anything else by its type."""
    if isinstance(given, torch.Tensor):
        return Message("task.tensor", "a tensor {shape}", {"shape": str(list(given.shape))})
    return type(given).__name__


def require_finite(answers: torch.Tensor) -> torch.Tensor:
    """The outputs; raises TaskError where some are NaN or infinite."""
    if not bool(answers.isfinite().all()):
        template = "The model's outputs contain NaN or infinity. Check the preprocessing."
        raise TaskError("task.not_finite", template)
    return answers


@contextmanager
def evaluating(predict: Any) -> Generator[None]:
    """Put a module into evaluation mode; all of its state, and what draws at random, is as before afterwards."""
    with (
        random_state_restored(),
        uncompiled(),
        model_state_restored(*[predict] if isinstance(predict, nn.Module) else []),
    ):
        for module in predict.modules() if isinstance(predict, nn.Module) else ():
            if module.training:
                module.training = False
        yield


def run_model(predict: Any, inputs: Inputs) -> Any:
    """The outputs for a batch, without gradients.

    The mode is entered for this one call: a job is a generator, and a mode around a `yield` would leak to its caller.
    It is not the inference mode: a table that a model makes in its first forward and keeps could not be trained with.
    """
    with torch.no_grad():
        try:
            return call(predict, inputs)
        except SecateurError:
            raise
        except Exception as error:
            raise explain_refusal(predict, inputs, error) from error


def explain_refusal(predict: Any, inputs: Inputs, error: Exception) -> TaskError:
    """Say why a model could not take a batch: in words where the channels differ, otherwise in the framework's own."""
    shapes = [tuple(x.shape) for _, x in named_arrays(inputs)]
    wanted = channels_taken(predict)
    if wanted is not None and len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] != wanted:
        template = (
            "The images have {channels} channels, but the model takes {wanted}. Convert the images or open other data."
        )
        return TaskError("task.channels", template, details=str(error), channels=shapes[0][1], wanted=wanted)
    shape = ", ".join(str(list(s)) for s in shapes)
    whole = (not torch.as_tensor(x).is_floating_point() for _, x in named_arrays(inputs))
    # Tokens and their masks.
    if shapes and all(len(one) == 2 for one in shapes) and all(whole):
        arrays = (torch.as_tensor(x) for _, x in named_arrays(inputs))
        highest = max((int(x.max()) for x in arrays if x.numel()), default=0)
        # The longest embedding has a row for each token at least.
        modules = predict.modules() if isinstance(predict, nn.Module) else ()
        rows = max((one.num_embeddings for one in modules if isinstance(one, nn.Embedding)), default=0)
        if 0 < rows <= highest:
            template = (
                "The data holds token {highest}, but the model knows only {rows} tokens. Choose the tokenizer that "
                "belongs to the model."
            )
            return TaskError("task.vocabulary", template, details=repr(error), highest=highest, rows=rows)
        template = (
            "The model cannot take samples of {length} tokens: {error}. Choose a shorter length, or check that the "
            "tokenizer belongs to the model."
        )
        length, words = shapes[0][1], str(error).strip().rstrip(".")
        return TaskError("task.tokens", template, details=repr(error), length=length, error=words)
    template = "The model cannot take a batch of shape {shape}: {error}. Check the size, channels and type of the data."
    return TaskError("task.batch", template, details=repr(error), shape=shape, error=str(error).strip().rstrip("."))


def channels_taken(predict: Any) -> int | None:
    """Channels that the first convolution takes, None where there is none: a guess at those of the images."""
    modules = predict.modules() if isinstance(predict, nn.Module) else ()
    return next((module.in_channels for module in modules if isinstance(module, nn.Conv2d)), None)


def classes_of(model: Any) -> tuple[str, ...]:
    """Names of the classes as the configuration of a Hugging Face model numbers them, () where it says nothing."""
    found = getattr(getattr(model, "config", None), "label2id", None)
    numbers = {str(name): number for name, number in cast("Mapping[Any, Any]", found or {}).items()}
    whole = set(numbers.values()) == set(range(len(numbers)))
    return tuple(sorted(numbers, key=numbers.__getitem__)) if whole else ()


def tokens_taken(model: Any) -> int | None:
    """Tokens at a time that the configuration of a Hugging Face model allows, None where it says nothing."""
    most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None
