"""What a file answers is used as what the model answers is."""

import copy
import pickle

from secateur.engine.export.torch_exporters import output_from_paths


def test_named_answers_are_copied_and_pickled_whole() -> None:
    answers = output_from_paths([("logits", 1), ("hidden.0", 2), ("hidden.1", 3)])
    for again in (copy.copy(answers), copy.deepcopy(answers), pickle.loads(pickle.dumps(answers))):
        assert again == answers and again.logits == again["logits"] == again[0] == 1 and again.hidden == (2, 3)
