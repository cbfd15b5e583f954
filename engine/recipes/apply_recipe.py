"""A recipe of a file, a project or a bundle on a session: open its model, see whether it fits, do its steps again."""

from dataclasses import replace
from pathlib import Path

from ..foreign_code.consent import FULL_CONSENT
from ..jobs import CancelToken, Job, NeverCancelled
from ..session.session import Session
from ..session.states import OpenedModel
from ..sources.named_code import by_hand, code_of
from ..storage.paths import absolute_to
from .compatibility import Fit, Mode
from .find_recipe import consent_at, recipe_at
from .recipe import baselines_in, code_in, with_model
from .replay import default_destination, fit_of, steps_again
from .replay_result import Replay
from .steps import Open

NEVER = NeverCancelled()


def open_recipe(
    session: Session,
    recipe: str,
    weights: str = "",
    source: str = "",
    trust_pickle: bool = False,
    trust_code: bool = False,
    download: bool = False,
    token: CancelToken = NEVER,
) -> Job[OpenedModel]:
    """Open the model of a recipe, with a new checkpoint or from another source where they are named.

    Args:
        session: Opens it.
        recipe: A file, a project or a bundle.
        weights: A new checkpoint, "" for the recorded one.
        source: Where another version of the model comes from, "" for the recorded one.
        trust_pickle: Consent to run the checkpoint's pickle.
        trust_code: Consent to run the Python files that the recipe names.
        download: Allows what builds the model to fetch weights.
        token: Cancels.
    """
    path = Path(absolute_to(Path.cwd())(recipe))
    recorded = recipe_at(path)
    named = {"weights": weights} if weights else {}
    named |= {"source": source, "weights": weights} if source else {}
    allowed = {"trust_pickle": trust_pickle, "trust_code": trust_code, "download": download}
    asked = with_model(recorded, lambda model: replace(model, **allowed, **named))
    consent = FULL_CONSENT if trust_code else consent_at(path, recorded) | by_hand(source)
    consent.require(code_in(asked), path)
    first = asked.steps[0]
    assert isinstance(first, Open)
    return (yield from session.open(first.intent.model, token=token, consent=consent))


def recipe_fit(session: Session, recipe: str) -> Fit:
    """How the recipe of a file, a project or a bundle fits the model that is open."""
    return fit_of(recipe_at(Path(absolute_to(Path.cwd())(recipe))), session, session.opened())


def apply_recipe(
    session: Session, recipe: str, mode: Mode | None = None, trust_code: bool = False, token: CancelToken = NEVER
) -> Job[Replay]:
    """Do a recipe's steps again on the original of the open model; each state that is made stays.

    Args:
        session: Gets the states.
        recipe: A file, a project or a bundle.
        mode: What is done again on another version of the model; None for what matches best.
        trust_code: Consent to the code of its baselines.
        token: Cancels.
    """
    path = Path(absolute_to(Path.cwd())(recipe))
    read = recipe_at(path)
    consent = FULL_CONSENT if trust_code else session.loaded.consent | consent_at(path, read)
    consent.require(code_of(*baselines_in(read)), path)
    return (yield from steps_again(read, session, session.opened(), mode, token, consent, default_destination(path)))
