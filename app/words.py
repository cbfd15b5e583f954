"""Numbers inside sentences. English needs no plural files this way; a translation gets both forms."""


def counted(count: int, one: str, many: str) -> str:
    """`one` or `many`, with {count} filled in: 1,184 structures."""
    return (one if count == 1 else many).format(count=f"{count:,}")
