"""``stealer acl``."""

from __future__ import annotations

import secrets

import click

from stealer.cli.context import App, common_options, pass_app

#: Random bytes of a password: 256 bits, so that Redis' plain SHA-256 of it cannot be guessed.
PASSWORD_BYTES = 32


@click.command("acl")
@common_options()
@click.option(
    "--without-passwords",
    is_flag=True,
    help="The users switched off and without a password, as redis.conf has them.",
)
@pass_app
def acl(app: App, without_passwords: bool) -> None:
    """Make Redis users with the least rights: watcher, keeper, operator, viewer.

    The lines on stdout are for an ACL file (or redis.conf) and hold hashes only; each password is
    shown once, on stderr, and kept nowhere. Nothing is contacted.
    """
    from stealer.access import Role, user_line, user_name

    account = app.settings.account
    passwords: dict[Role, str | None] = {
        role: None if without_passwords else secrets.token_hex(PASSWORD_BYTES) for role in Role
    }
    lines = {role: user_line(role, account, passwords[role]) for role in Role}
    if app.out.as_json:
        found = {
            user_name(role, account): {"line": lines[role], "password": passwords[role]}
            for role in Role
        }
        app.out.json(found)
        return
    for line in lines.values():
        click.echo(line)
    for role, password in passwords.items():
        if password is not None:
            click.echo(f"{user_name(role, account):<24} {password}", err=True)
    if not without_passwords:
        click.echo(
            "Each password is shown this once. Put it into a file that only its process may read, "
            "and name that in REDIS_PASSWORD_FILE; then load the lines: docs/security.md.",
            err=True,
        )
