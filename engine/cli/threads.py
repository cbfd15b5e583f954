"""How many threads a command computes with: numbers are equal bit for bit only at one thread count."""


def use_threads(threads: int | None) -> None:
    """Tell torch; None leaves its own choice."""
    if threads:
        import torch

        torch.set_num_threads(threads)
