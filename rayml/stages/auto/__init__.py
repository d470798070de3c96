"""What `space=auto` chooses: families, budgets and ensemble, by the data and the time."""
