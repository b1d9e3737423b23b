"""The Triton kernels. `model.engine.cuda.kernels.fused` launches them and says what
their arguments mean.

Each program computes what it computes in an order that depends on its own row, head or block alone.
So a row's result is the same, bit for bit, whatever stands next to it and whichever slot it is in.
Offsets into the caches are 64 bits wide: 2,048 slots of 512 positions exceed 2^31 numbers.
"""
