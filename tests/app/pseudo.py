"""A language that nobody speaks: every text is longer and bears a mark, so that what is not translated stands out."""

from PySide6.QtCore import QTranslator

OPEN, CLOSE = "\u27e6", "\u27e7"
ACCENTS = str.maketrans("aeiouAEIOUycn", "áëïöüÁËÏÖÜýçñ")


def pseudo(text: str) -> str:
    """The text with other letters outside of {fields}, a third longer, between marks."""
    if not text.strip():
        return text
    out, depth = [], 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        out.append(letter if depth or letter == "}" else letter.translate(ACCENTS))
    body = "".join(out)
    lead = body[: len(body) - len(body.lstrip())]
    trail = body[len(body.rstrip()) :]
    longer = max(1, len(text.strip()) // 3)
    padding = " ".join(["~" * 6] * (longer // 7)) or "~" * longer
    return f"{lead}{OPEN}{body.strip()}{padding}{CLOSE}{trail}"


class Pseudo(QTranslator):
    """Translates everything."""

    def translate(self, context, source, disambiguation=None, n=-1) -> str:
        """Into it."""
        return pseudo(source)

    def isEmpty(self) -> bool:
        """Never."""
        return False
