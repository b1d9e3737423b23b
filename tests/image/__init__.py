"""The images of the Dockerfile, built from Debian's packages and run: `make check-image`."""
