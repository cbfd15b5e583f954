"""How many tokens a sample of a task has."""

from ..inference.model_inputs import batch_size, token_count
from .protocol import Task


def sample_tokens(task: Task) -> int:
    """Tokens of a sample, padding aside; 0 where it is no text, or where the task gives no example."""
    try:
        inputs = task.example_inputs()
    except Exception:  # what a user's task lacks is told where it is needed
        return 0
    return token_count(inputs) // batch_size(inputs)
