"""From a language pair to a replica: which model, which attempt, which replica."""
