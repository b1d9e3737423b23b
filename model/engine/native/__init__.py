"""The CPU engine in C++: encoding, decode steps and search in one library."""
