"""Recovery: bring a cut model back to what it knew, with the original as its teacher."""
