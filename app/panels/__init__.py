"""Views of the document, one a file: each takes it in its constructor, listens to `changed` and calls its methods."""
