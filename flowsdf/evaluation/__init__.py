"""How shapes and predictors are scored, and how claims are judged."""
