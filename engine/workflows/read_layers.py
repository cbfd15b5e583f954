"""Opens a model beside the one of a session, to compare their layers; nothing of the session changes."""

from ..errors import SecateurError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..session.bundle_file import is_bundle
from ..session.open_model import prepare
from ..session.reopen import saved_project
from ..session.session import Session
from ..session.state_history import is_project
from ..sources.open import named_by_hand
from ..sources.protocol import ModelSpec
from ..structures.analyse import analyse
from ..structures.analysis import from_identities
from ..structures.costs import ModelLayers, layers_of

NEVER = NeverCancelled()
NO_INPUT = "open.no_input"


def read_layers(
    session: Session, spec: ModelSpec, token: CancelToken = NEVER, consent: Consent | None = None
) -> Job[ModelLayers]:
    """The layers of any model that can be opened; of a project or a bundle those of the state that it was left at.

    Args:
        session: Whose example inputs are taken where the model says nothing of its own.
        spec: What to open.
        token: Cancels.
        consent: What of foreign code may run; None where the user named the model by hand: what `spec` names.

    Raises:
        SecateurError: It cannot be opened, or does not run.
    """
    consent = named_by_hand(spec) if consent is None else consent
    if is_project(spec.source):
        saved = yield from saved_project(spec, token)
        yield Progress("Counting what its layers cost")
        return layers_of(saved.loaded.analysis, saved.loaded.mask(saved.present))
    if is_bundle(spec.source):
        # The layers of the state that a bundle was left at, opened in a temporary session: its weights are packed.
        beside = Session()
        try:
            opened = yield from beside.open(spec, evaluate=False, token=token, consent=consent)
            yield Progress("Counting what its layers cost")
            return layers_of(opened.analysis, from_identities(opened.analysis, beside.present.removed)[0])
        finally:
            beside.close()
    try:
        prepared = yield from prepare(spec, token, consent)
    except SecateurError as error:
        if error.message.code != NO_INPUT or not session.is_open:
            raise
        prepared = yield from prepare(spec, token, consent, examples=session.prepared.inputs)
    yield Progress("Counting what its layers cost")
    opened = prepared.opened
    return layers_of(analyse(opened.model, prepared.inputs, opened.name, outputs=prepared.spec.outputs, token=token))
