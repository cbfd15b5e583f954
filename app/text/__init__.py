"""Words and numbers as a person reads them: translation, formats, and the sentences that panels share."""
