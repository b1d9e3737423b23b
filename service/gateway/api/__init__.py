"""The wire contracts, one module each. The wire format exists nowhere else."""
