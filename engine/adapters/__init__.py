"""Libraries whose models need a form of their own before the steps can treat them alike."""
