"""What the guide to paper trading and the deployment's files name must exist."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import redis
from click.testing import CliRunner

from stealer import access
from stealer.access import Role, user_name
from stealer.cli.app import main as stealer
from stealer.embedded import EmbeddedServer
from stealer.settings import variables
from watchers.cli import main as watchers

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = ROOT / "docs" / "paper-trading.md"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PROGRAMS: dict[str, click.Group] = {"stealer": stealer, "watchers": watchers}

#: Variables that are not settings: the log's form, redis-cli's own, and those of backup.sh.
ALSO = {"STEALER_LOG_FORMAT", "REDISCLI_AUTH", "REDIS_HOST", "REDIS_PORT", "REDIS_CA", "REDIS_DIR"}


def calls(text: str) -> Iterator[list[str]]:
    """The words of each call of our programs in *text*."""
    for line in text.splitlines():
        for found in re.findall(r"(?:^|[ /`=])((?:stealer|watchers) [a-z][^`;|#&>]*)", line):
            yield shlex.split(found.replace("'", ""))


def unknown(words: list[str]) -> str:
    """What of a call there is not; '' when all of it exists."""
    command: click.Command | None = PROGRAMS[words[0]]
    options = {name for p in command.params for name in p.opts} if command else set()
    for word in words[1:]:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            if command is None:
                return f"{' '.join(words)}: there is no {word}"
            options |= {name for p in command.params for name in p.opts}
        elif word.startswith("-") and word.rstrip(",.") not in options:
            return f"{' '.join(words)}: there is no {word}"
    return ""


def blocks() -> list[str]:
    """The guide's blocks of code, with their comments."""
    return re.findall(r"```\n(.*?)```", GUIDE.read_text(), re.S)


def lines() -> list[str]:
    """The commands of the guide in its order: a joined line each, comments away."""
    joined = "\n".join(blocks()).replace("\\\n", " ")
    return [re.sub(r"(^|\s)# .*", "", line).strip() for line in joined.splitlines()]


def at(pattern: str) -> list[int]:
    """Where the guide has a command with *pattern* in it."""
    return [number for number, line in enumerate(lines()) if re.search(pattern, line)]


def test_the_commands_of_the_guide_exist() -> None:
    code = blocks()
    code += re.findall(r"`([^`\n]+)`", GUIDE.read_text())
    # "stealer" is also the name of a user and of directories.
    found = [words for text in code for words in calls(text) if len(words) > 1]
    assert len(found) > 25
    assert [said for words in found if (said := unknown(words))] == []


def test_our_programs_are_on_the_path_before_they_are_called_by_name() -> None:
    linked = at(r"^ln -s .*\{stealer,watchers\} /usr/local/bin")
    assert linked
    assert linked[0] < at(r"^(stealer|watchers) [a-z]")[0]


@pytest.mark.parametrize(
    ("program", "package"),
    [("redis-", "redis"), ("git", "git"), ("openssl", "openssl"), ("nft", "nftables"),
     ("python3 -m venv", "python3-venv")],
)  # fmt: skip
def test_a_program_is_installed_before_it_is_called(program: str, package: str) -> None:
    installed = at(rf"^apt install .*\b{package}\b")
    called = at(rf"(^|[ |=])(runuser -u redis -- )?{program}[a-z ]")
    assert installed
    assert all(installed[0] < line for line in called if line not in installed)


def test_a_file_is_there_before_it_is_edited() -> None:
    for number in at(r"^sed -i"):
        file = lines()[number].split()[-1]
        assert [n for n in at(rf"^(cp|install) .*{re.escape(file)}$") if n < number], file


def test_redis_may_enter_the_directory_of_its_certificate() -> None:
    """The server and the backup run as `redis`, which is not in the group `stealer`."""
    asked = re.findall(r"^tls-\S*file (\S+)$", GUIDE.read_text(), re.M)
    asked += re.findall(r"^REDIS_CA=(\S+)$", (DEPLOY / "backup.env.example").read_text(), re.M)
    made = {
        directory: int(mode, 8)
        for line in lines()
        for mode, rest in re.findall(r"install -d -m (\d+)([^;]*)", line)
        for directory in rest.split()
        if directory.startswith("/")
    }
    assert len(asked) == 4
    for file in asked:
        assert made[str(Path(file).parent)] & 0o005 == 0o005, file
    assert made["/etc/stealer/plans"] & 0o007 == 0


def test_a_file_with_a_secret_is_made_for_its_owner_alone() -> None:
    secret = at(r"/etc/stealer/(\S+\.password|key-id|secret-key|backup\.env)$")
    made = [lines()[number] for number in secret if "install" in lines()[number]]
    assert len(made) >= 4
    assert [line for line in made if "-m 600" not in line] == []


def test_a_rule_of_the_firewall_outlasts_a_restart() -> None:
    assert not at(r"^nft add")
    assert "nft add" not in GUIDE.read_text()
    assert at(r"/etc/nftables\.conf")
    assert at(r"^systemctl enable .*nftables")


RIGHTS_ADDED, RIGHTS_EXACT = "", "clearselectors resetkeys resetchannels -@all"


def rights(rules: str) -> list[str]:
    """What the guide's function `rights` would give to redis-cli."""
    function = re.search(r"^rights\(\) \{\n.*?^\}\n", "\n".join(blocks()), re.S | re.M)
    assert function
    called = f"{sys.executable} -c 'from stealer.cli.app import main; main()'"
    standing_in = f'stealer() {{ {called} "$@"; }}; redis-cli() {{ cat; }}; set -o pipefail\n'
    text = standing_in + function[0] + f"rights {shlex.quote(rules)}"
    run = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.splitlines()


def test_the_guide_shows_both_ways_of_changing_rights() -> None:
    assert [lines()[number] for number in at("^rights '")] == [
        f"rights '{RIGHTS_ADDED}'",
        f"rights '{RIGHTS_EXACT}'",
    ]


@pytest.mark.real_server
@pytest.mark.parametrize(
    ("rules", "keeps_the_old"), [(RIGHTS_ADDED, True), (RIGHTS_EXACT, False)], ids=["add", "exact"]
)
def test_rights_are_changed_and_passwords_are_not(
    redis_server: EmbeddedServer, rules: str, keeps_the_old: bool
) -> None:
    """Users of another version, with a command that this one lacks, and lacking what it needs."""
    users = [user_name(role, "paper") for role in Role]
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as admin:
        try:
            for user in users:
                old = ["on", ">its password", "~old", "+bitpos", "(~older +bitcount)"]
                admin.execute_command("ACL", "SETUSER", user, "reset", *old)
            *changes, saved = rights(rules)
            for change in changes:
                assert admin.execute_command(*change.split(" "))
            found = {line.split()[1]: line for line in admin.acl_list()}
            for role, user in zip(Role, users, strict=True):
                rules_of = access.rules(role, "paper")
                admin.execute_command("ACL", "SETUSER", "wanted", "reset", *rules_of)
                wanted = admin.acl_getuser("wanted")
                has = admin.acl_getuser(user)
                assert has["passwords"] == [hashlib.sha256(b"its password").hexdigest()]
                assert "on" in has["flags"]
                assert ("~older" in found[user]) is keeps_the_old
                if not keeps_the_old:
                    rights_of = ("commands", "keys", "channels", "selectors")
                    assert [has[name] for name in rights_of] == [wanted[n] for n in rights_of]
                if role in (Role.WATCHER, Role.KEEPER):
                    for command in access.probes(role, "paper"):
                        asked = admin.execute_command("ACL", "DRYRUN", user, *command.split(" "))
                        assert asked == "OK", command
        finally:
            admin.execute_command("ACL", "DELUSER", *users, "wanted")
    assert saved == "ACL SAVE"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_what_a_unit_runs_exists(unit: Path) -> None:
    run = re.findall(r"^Exec\w+=(.*)$", unit.read_text(), re.M)
    ours = [words for line in run for words in calls(line.replace("/opt/stealer/venv/bin/", ""))]
    assert ours or unit.name.startswith("stealer-backup")
    assert [said for words in ours if (said := unknown(words))] == []


def test_a_fleet_is_given_longer_to_stop_than_it_takes() -> None:
    text = (DEPLOY / "systemd" / "stealer-watchers@.service").read_text()
    its_own = re.search(r"--stop-seconds (\d+)", text)
    systemds = re.search(r"TimeoutStopSec=(\d+)", text)
    assert its_own
    assert systemds
    assert int(systemds[1]) > int(its_own[1])


def test_the_example_plan_is_a_good_one_of_ten() -> None:
    result = CliRunner().invoke(watchers, ["check", str(DEPLOY / "plan.example.toml")], env={})
    assert result.exit_code == 0, result.output
    assert "10 entries" in result.output


@pytest.mark.parametrize("file", [GUIDE, *UNITS, *sorted(DEPLOY.glob("*.env.example"))],
                         ids=lambda path: path.name)  # fmt: skip
def test_every_variable_is_a_setting(file: Path) -> None:
    pattern = r"\b(?:STEALER|WORK_STEALING|ALPACA|APCA|REDIS|REDISCLI|CRYPTO)_[A-Z_]+\b"
    named = {name.removesuffix("_FILE") for name in re.findall(pattern, file.read_text())}
    known = {name.removesuffix("_FILE") for name in variables()} | ALSO
    assert named <= known
