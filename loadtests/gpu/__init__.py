"""The whole check of the CUDA engine, for a machine with one GPU and little time: `run.sh`.

stages        one after the other, each in a process and a time of its own
figures       what a stage has found, on disk at once
runners       runners for measuring: with graphs, without, many slots
agreement     first: is it right?
ceilings      what this device can do
step_times    how long a decode step takes, and where the time goes
rates         the regimes of `polyhead bench`, around a runner of this process
peers         others on the same device, in turns with us
report        tables for people, one line of JSON for machines

Needs `model/`, PyTorch, Triton, safetensors, sentencepiece, sacrebleu and tqdm; no Ray, no FastAPI
and no network.
"""
