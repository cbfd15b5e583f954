"""Recovery: repairs and fine-tunes a cut model, with the original as its teacher."""
