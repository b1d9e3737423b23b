"""The whole check of the CUDA engine, for a machine with one GPU and little time: `run.sh`.

stages        one after the other, each in a process and a time of its own; figures on disk at once
runners       runners for measuring: with graphs, without
agreement     first: is it right?
ceilings      what this device can do
step_times    how long a decode step takes, and where the time goes
rates         `polyhead bench` on this device, alone and beside others
cublas        what CTranslate2 looks for
report        tables for people, one line of JSON for machines

Needs `model/`, PyTorch, Triton, safetensors, sentencepiece, sacrebleu and tqdm; no Ray, no FastAPI
and no network.
"""
