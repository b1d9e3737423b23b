"""The whole check of the CUDA engine, for a machine with one GPU and little time: `run.sh`.

stages        one after the other, each in a process and a time of its own; figures on disk at once
agreement     first: is it right, with graphs and without?
step_times    how long a decode step takes, beside what this device can do
rates         `polyhead bench` on this device, alone and beside others

Needs `model/`, PyTorch, Triton, safetensors, sentencepiece, sacrebleu and tqdm; no Ray, no FastAPI
and no network.
"""
