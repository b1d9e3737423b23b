"""`python -m loadtests.ingredients TABLE.yaml`: what each ingredient of a recipe brings."""
