"""The one error type, and the codes of exit that it carries."""

import pytest

from caflow_cli import errors
from caflow_cli.errors import CaflowError


def test_an_error_is_a_message_a_hint_and_a_code():
    error = CaflowError("no file 'x.png'", "check the path", errors.EXIT_USAGE)
    assert (error.message, error.hint, error.exit_code) == ("no file 'x.png'", "check the path", 2)
    assert str(error) == error.message
    with pytest.raises(Exception, match="no file"):
        raise error


def test_an_input_that_failed_is_the_rule():
    assert CaflowError("a", "b").exit_code == errors.EXIT_FAILED == 1


def test_codes_are_those_that_scripts_rely_on():
    codes = (errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_WEIGHTS, errors.EXIT_INTERRUPTED)
    assert codes == (1, 2, 3, 130)
