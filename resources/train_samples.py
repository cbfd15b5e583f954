"""Trains the two bundled networks: `python -m secateur.resources.train_samples --data FOLDER` writes `resources/data`.

Each network is trained on 55,000 images to its plateau, the best epoch is chosen on 5,000 others, and the 10,000
official test images are read once, at the end. `--nets resnet` and `--nets vit` may run side by side; each adds its
entry to samples.json.
"""

import argparse
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from . import fashion_mnist
from .fashion_mnist import Images
from .models import FACTORIES
from .write_samples import DATA, TEST_ROWS, write_arrays, write_entry, write_weights

log = logging.getLogger("secateur.resources.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is trained.

    Attributes:
        optimizer: "sgd" (Nesterov momentum 0.9) or "adamw".
        epochs: Passes over the training images.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of the optimizer.
        smoothing: Label smoothing of the cross entropy.
        shift: Largest random shift in pixels.
        batch: Images a step.
        seed: Of the weights, the order and the augmentation.
    """

    optimizer: str
    epochs: int
    learning_rate: float
    weight_decay: float
    smoothing: float
    shift: int
    batch: int = 128
    seed: int = 1


SETTINGS = {
    "resnet": Settings("sgd", epochs=16, learning_rate=0.15, weight_decay=5e-4, smoothing=0.05, shift=2),
    "vit": Settings("adamw", epochs=40, learning_rate=2e-3, weight_decay=0.05, smoothing=0.05, shift=2),
}


def train(name: str, settings: Settings, folder: Path) -> None:
    """Train one network and write its weights and its entry."""
    torch.manual_seed(settings.seed)
    model = FACTORIES[name]()
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in the stubs
    fit, validation = fashion_mnist.read_train(folder)
    best, history = _fit(model, settings, fit, validation)
    model.load_state_dict(best)
    test = fashion_mnist.read_test(folder)
    right = predict(model, test) == test.y
    parameters = sum(p.numel() for p in model.parameters())
    entry = {
        "parameters": parameters,
        "test": _accuracy(right),
        "shipped_test": _accuracy(right[TEST_ROWS]),
        "validation": {"accuracy": max(history), "n": len(validation.y)},
        "best_epoch": int(np.argmax(history)) + 1,
        "settings": asdict(settings),
    }
    write_weights(name, {key: value.contiguous() for key, value in best.items()})
    write_entry(name, entry)
    log.info("%s: %s", name, json.dumps(entry))


def _fit(
    model: nn.Module, settings: Settings, fit: Images, validation: Images
) -> tuple[dict[str, Tensor], list[float]]:
    """The weights of the epoch that was best on the validation images, and the accuracy there after every epoch."""
    steps = len(fit.y) // settings.batch
    optimizer = _optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, epochs=settings.epochs, steps_per_epoch=steps, cycle_momentum=False
    )
    random = np.random.default_rng(settings.seed)
    best: dict[str, Tensor] = {}
    history: list[float] = []
    for epoch in range(settings.epochs):
        model.train()
        order = random.permutation(len(fit.y))[: steps * settings.batch].reshape(steps, -1)
        for rows in order:
            loss = _step(model, augment(fit.x[rows], settings.shift, random), fit.y[rows], settings.smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            schedule.step()
        history.append(float((predict(model, validation) == validation.y).mean()))
        log.info("epoch %d of %d: validation %.4f", epoch + 1, settings.epochs, history[-1])
        if history[-1] == max(history):
            best = {key: value.clone() for key, value in model.state_dict().items()}
    return best, history


def _step(model: nn.Module, x: NDArray[np.uint8], y: NDArray[np.int64], smoothing: float) -> Tensor:
    return F.cross_entropy(model(tensor(x)), torch.from_numpy(y), label_smoothing=smoothing)


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Weight matrices decay; biases, norms and the position embedding do not."""
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1 and n != "positions"]
    plain = [p for n, p in model.named_parameters() if p.ndim <= 1 or n == "positions"]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay)
    return torch.optim.SGD(groups, lr=rate, weight_decay=decay, momentum=0.9, nesterov=True)


def augment(x: NDArray[np.uint8], shift: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Shift each of [N, 28, 28] by up to `shift` pixels and mirror every second one or so."""
    count, height, width = x.shape
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift)))
    top, left = random.integers(0, 2 * shift + 1, (2, count, 1))
    columns = np.arange(width)[None]
    columns = np.where(random.random((count, 1)) < 0.5, columns, width - 1 - columns)
    rows = top + np.arange(height)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], (left + columns)[:, None, :]]


def tensor(x: NDArray[np.uint8]) -> Tensor:
    """[N, 28, 28] uint8 to the networks' input [N, 1, 28, 28] float32."""
    return (torch.from_numpy(x).float()[:, None] / 255 - fashion_mnist.MEAN) / fashion_mnist.STD


@torch.inference_mode()
def predict(model: nn.Module, images: Images) -> NDArray[np.int64]:
    """The class of each image, [N]."""
    model.eval()
    parts = [model(tensor(images.x[i : i + 500])).argmax(1) for i in range(0, len(images.y), 500)]
    return torch.cat(parts).numpy()


def _accuracy(right: NDArray[np.bool_]) -> dict[str, float]:
    return {"accuracy": float(right.mean()), "n": len(right)}


def main() -> None:
    """Read the arguments, train, write."""
    parser = argparse.ArgumentParser(description=f"Train the bundled networks and write {DATA}.")
    parser.add_argument("--data", type=Path, default=fashion_mnist.DEBIAN_FOLDER, help="folder of the official files")
    parser.add_argument("--nets", nargs="*", choices=sorted(FACTORIES), default=sorted(FACTORIES))
    parser.add_argument("--epochs", type=int, help="fewer or more than the settings say, for a trial")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    write_arrays(arguments.data)
    for name in arguments.nets:
        settings = asdict(SETTINGS[name])
        if arguments.epochs:
            settings["epochs"] = arguments.epochs
        train(name, Settings(**settings), arguments.data)


if __name__ == "__main__":
    main()
