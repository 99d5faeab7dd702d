"""What binds the records of one run together; apart from them, since it is there before any is written."""

import os


def new_run_id() -> str:
    """128 random bits in hexadecimal; no two runs share one."""
    return os.urandom(16).hex()
