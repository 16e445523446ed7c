import pytest

from nnunet_assets.core.exit_codes import ExitCode, describe_exit


@pytest.mark.parametrize("code", list(ExitCode))
def test_each_exit_code_has_words(code):
    assert describe_exit(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed (SIGKILL), most often because the machine ran out of memory"),
        (-11, "was ended by signal 11"),
        (1, "ended with exit code 1"),
        (75, "was stopped on request"),
    ],
)
def test_crashes_are_told_apart(code, words):
    assert describe_exit(code) == words
