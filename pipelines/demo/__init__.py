"""A simulated portfolio of three firms and a client portal that serves it: what `milepost demo` runs on.

Nothing outside this package knows that its records are made up.
"""
