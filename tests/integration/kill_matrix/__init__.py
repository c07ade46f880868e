"""Every action killed at every step, in each of its executors: see docs/reliability.md.

    python -m tests.integration.kill_matrix [--resume] [--only WORD]      the matrix, and its table
    python -m tests.integration.kill_matrix scenario NAME                  what is not a matter of one point

What there is to kill is not written down here: the actions run once while the daemons write down each crash point
that they pass (minicompute/crash.py), and those are the cases.  Cases whose points are passed at the same stage of
different actions make one batch: each action is held at its point, then the daemon dies under all of them.
"""
