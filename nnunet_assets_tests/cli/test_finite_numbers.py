import click
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.finite_numbers import FiniteRange


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1.5", "1.5\n"),
        ("nan", "'nan' is not a finite number."),
        ("1e999", "'1e999' is not a finite number."),
        ("-1", "-1.0 is not in the range x>=0"),
        ("x", "'x' is not a valid float range"),
    ],
)
def test_a_number_of_the_command_line_is_finite(given: str, said: str) -> None:
    @click.command()
    @click.option("--seconds", type=FiniteRange(min=0))
    def probe(seconds: float) -> None:
        click.echo(seconds)

    assert said in CliRunner().invoke(probe, ["--seconds", given]).output
