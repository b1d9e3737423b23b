"""What a decode step on an accelerator is made of, each operation twice.

slot_memory   everything a device keeps for each slot: caches, histories, searches
operations    the list of operations, and what they are fed
plain         each of them in PyTorch, without ever waiting for the device: the reference
fused         each of them as a Triton kernel, where that is the faster one
jit           the kernels themselves; only `fused` imports them, since they need Triton
"""
