"""Documents that are translated in the background: taken in, translated, given out, forgotten.

`DocumentJobs` is what the APIs have; `DocumentWorker` translates. They meet in the store alone, so
that any gateway goes on with what another one has begun. Nothing here knows HTTP or a model.
"""
