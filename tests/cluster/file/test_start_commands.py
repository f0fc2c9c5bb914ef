"""What a shell line starts is read as a shell would."""

import pytest

from cluster.file.start_commands import StartCommand, find_start_commands
from dgad.errors import SettingsError


def _only(text: str) -> StartCommand:
    (command,) = find_start_commands([(text, 7)])
    assert command.line == 7
    return command


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("ray start --head", "python"),
        ("ulimit -n 65536; ray start --head", "python"),
        ("/opt/env/bin/ray start --head", "/opt/env/bin/python"),
        ("ulimit -c unlimited && ~/env/bin/ray start --head", "~/env/bin/python"),
        ("$HOME/env/bin/ray start --head", "$HOME/env/bin/python"),
        ("env/bin/ray start --head", "~/env/bin/python"),
        ("source ~/env/bin/activate && ray start --head", "~/env/bin/python"),
        (". env/bin/activate; RAY_AUTH_MODE=token ray start --head", "~/env/bin/python"),
        ("source ~/a/bin/activate && ~/b/bin/ray start --head", "~/b/bin/python"),
        ("conda activate dgad && ray start --head", "python"),
        ("if true; then exec nohup ray start --head; fi", "python"),
    ],
)
def test_the_python_stands_beside_the_ray_that_is_started(text: str, interpreter: str) -> None:
    command = _only(text)
    assert command.interpreter == interpreter
    assert command.is_head


def test_a_variable_counts_for_what_follows_it_and_for_its_own_command_only() -> None:
    assert _only("export A=1 B='2 3'; C=4 ray start").environment == {"A": "1", "B": "2 3", "C": "4"}
    assert _only("env -i A=1 ray start").environment == {"A": "1"}
    assert _only("A=1; ray start").environment == {"A": "1"}
    assert _only("A=1 true; ray start").environment == {}
    assert _only("ray start; export A=1").environment == {}
    first, second = find_start_commands([("export A=1; ray start", 1), ("ray start", 2)])
    assert (first.environment, second.environment) == ({"A": "1"}, {})


def test_options_with_and_without_an_equals_sign_and_flags() -> None:
    command = _only("ray start --head --port 1 --dashboard-host=::1 --disable-usage-stats --block > log 2>&1")
    assert command.options == {
        "head": "",
        "port": "1",
        "dashboard-host": "::1",
        "disable-usage-stats": "",
        "block": "",
    }


@pytest.mark.parametrize(
    "text", ["ray stop", "echo ray start", "bash start.sh", "", "array start", "ray status"]
)
def test_what_starts_no_ray_is_not_taken_for_it(text: str) -> None:
    assert find_start_commands([(text, 1)]) == ()


def test_a_quotation_that_is_not_closed_is_told_with_its_line() -> None:
    with pytest.raises(SettingsError, match="shell command in line 7 cannot be read: No closing quotation"):
        find_start_commands([("ray start 'x", 7)])
