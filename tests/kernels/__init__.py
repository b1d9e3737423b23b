"""Compiles every kernel for GPUs that are not there, with the shapes of models that people have.

`make check-kernels`, or `python -m tests.kernels --help`. The interpreter runs a kernel as Python;
a compiler is stricter, and only it tells what a kernel takes of a multiprocessor. Triton brings all
the compilers, up to machine code: no more than the device is made up.

shapes       the models, and the steps that are taken with them
compilation  what takes the place of a launch, and what it finds
"""
