"""Commands that run or describe other parts: keeper, simulated broker, files, versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import click

from stealer.cli.context import App, common_options, log_format_option, pass_app
from stealer.cli.floats import FiniteRange
from stealer.printable import log_to_stderr


@click.command()
@common_options(json=False)
@click.option(
    "--poll-seconds",
    type=FiniteRange(0.05, 3600),
    help="Seconds between two readings of the account.  [default: the keeper's own]",
)
@click.option("--once", is_flag=True, help="One round, then end.")
@log_format_option
@pass_app
def keeper(app: App, poll_seconds: float | None, once: bool, log_format: str) -> None:
    """Run the account's keeper until SIGTERM or Ctrl-C.

    One holds the lease and works, any number of others stand by.
    """
    try:
        from stealer.keeper.main import run
    except ImportError as error:
        if not (error.name or "").startswith("stealer.keeper"):
            raise click.ClickException(f"the keeper needs {error.name}: {error}") from None
        raise click.ClickException("the keeper is not part of this installation") from None
    log_to_stderr(
        "%(asctime)s %(levelname)s %(name)s: %(message)s",
        as_json=log_format == "json",
        constant={"account": app.settings.account},
    )
    options: dict[str, Any] = {"once": once}
    if poll_seconds is not None:
        options["poll_seconds"] = poll_seconds
    code = run(app.settings, **options)
    if code:
        raise click.exceptions.Exit(int(code))


@click.command(
    "simulated-alpaca",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulated_alpaca(arguments: tuple[str, ...]) -> None:
    """Run the simulated broker; all arguments are its own (--help shows them)."""
    try:
        from stealer.simulated_alpaca.cli import main as simulate
    except ImportError as error:
        raise click.ClickException(
            f"the simulated broker needs {error.name}: pip install "
            "'maxdiff-work-stealing[simulator]'"
        ) from None
    simulate.main(args=list(arguments), prog_name="stealer simulated-alpaca")


@click.command("redis-conf")
def redis_conf() -> None:
    """Print the path of the redis.conf this system is meant to run with."""
    path = Path(__file__).resolve().parents[2] / "redis.conf"
    if not path.exists():
        raise click.ClickException(f"{path} is missing from this installation")
    click.echo(path.resolve())


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script: eval "$(stealer completion bash)"."""
    from click.shell_completion import get_completion_class

    from stealer.cli.app import main

    kind = get_completion_class(shell)
    assert kind is not None
    try:
        click.echo(kind(main, {}, "stealer", "_STEALER_COMPLETE").source())
    except RuntimeError as error:  # bash is too old
        raise click.ClickException(str(error)) from None


@click.command("version")
@common_options()
@pass_app
def version(app: App) -> None:
    """Print the versions of this system and of what it stands on."""
    import platform

    import stealer

    found = {"stealer": stealer.__version__, "python": platform.python_version()}
    for package in ("redis", "alpaca-py", "click", "rich", "tenacity", "holidays"):
        try:
            found[package] = installed(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    if app.out.as_json:
        app.out.json(found)
    else:
        app.out.show(*(f"{name} {number}" for name, number in found.items()))
