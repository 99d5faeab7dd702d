"""The table of controls that ``make mutate`` switches off: it must find each of them in the product."""

import os

import pytest
from mutation.table import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_is_switched_off_exists(mutation: Mutation) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            mutation.apply()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
