"""Search: which target tokens to take, given what the model thinks of them.

`search` keeps the hypotheses of one source and knows no tensor; `candidates` turns logits into the
few tokens worth looking at; `constraints` forbids repetitions. These are pure steps. `reference` is
the plain loop around them, and the oracle of the engine, which runs the same steps.
"""
