"""The learning rate at each update."""

from __future__ import annotations

from model.training.recipe import OptimizerRecipe

__all__ = ["learning_rate", "linear_schedule", "paper_schedule"]


def paper_schedule(step: int, d_model: int, warmup_steps: int) -> float:
    """Equation 3 of section 5.3: D^-0.5 * min(step^-0.5, step * warmup^-1.5), steps from 1."""
    return float(d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5))


def linear_schedule(
    step: int, peak: float, warmup_steps: int, max_steps: int, decay_steps: int | None = None
) -> float:
    """Up to `peak` in a straight line, then down to zero at `max_steps`, steps from 1.

    With `decay_steps` only the last so many updates lead down; those before stay at `peak`.
    """
    if step <= warmup_steps:
        return peak * step / warmup_steps
    falling = max(1, max_steps - warmup_steps)
    if decay_steps is not None:
        falling = min(falling, decay_steps)
    return peak * min(1.0, max(0.0, (max_steps - step + 1) / falling))


def learning_rate(step: int, recipe: OptimizerRecipe, *, d_model: int, max_steps: int) -> float:
    """What the recipe says for update `step`, counted from 1."""
    if recipe.schedule == "paper":
        return recipe.scale * paper_schedule(step, d_model, recipe.warmup_steps)
    return linear_schedule(step, recipe.peak_lr, recipe.warmup_steps, max_steps, recipe.decay_steps)
