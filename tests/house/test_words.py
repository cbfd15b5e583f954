"""Words that are used of things no more: how often each may still be read in comments, docstrings and messages.

The numbers of `word_budget.json` only fall. Where a sentence needs one of these words, another sentence is better:
subject, verb, object, and the word that the field uses.
"""

import io
import json
import re
import tokenize
from collections import Counter

from tests.conftest import ROOT

from .parsed import files_below, text_of

BUDGET = ROOT / "tests" / "house" / "word_budget.json"
WORDS = ("told", "beside", "lies", "stands", "nobody", "so that of")
ANY = re.compile("|".join(WORDS), re.IGNORECASE)


def count_words(text: str) -> Counter[str]:
    """How often each word is in comments and strings."""
    found = Counter[str]()
    if not ANY.search(text):
        return found
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for word in WORDS:
                found[word] += len(re.findall(rf"\b{word}\b", token.string, re.IGNORECASE))
    return found


def test_odd_words_become_fewer() -> None:
    found = Counter[str]()
    for top in ("app", "engine"):
        for file in files_below(top):
            found += count_words(text_of(file))
    allowed = json.loads(BUDGET.read_text(encoding="utf-8"))
    assert list(allowed) == [*WORDS]
    assert {word: found[word] for word in WORDS if found[word] > allowed[word]} == {}, "write it in other words"


def test_words_of_comments_and_strings_are_counted_and_names_are_not() -> None:
    found = count_words('"""Nobody knows."""\ntold = lies  # it lies there\nprint("so that of the other")\n')
    assert (found["nobody"], found["told"], found["lies"], found["so that of"]) == (1, 0, 1, 1)
