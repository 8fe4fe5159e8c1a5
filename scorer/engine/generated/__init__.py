"""The generated LLVM, for the comparison in bench/compiled.py."""
