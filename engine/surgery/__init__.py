"""Surgery: cuts a model according to a plan, repairs its code, and verifies the result. The original stays as it is."""
