"""`qjb`: the commands, each loaded when it is used."""

import os
import signal
import sys
from difflib import get_close_matches
from importlib import import_module
from traceback import format_exception
from types import TracebackType

import click
from click.exceptions import NoArgsIsHelpError

from broker.cli.exits import TEXT, Exit, of_error
from broker.cli.output import say
from broker.cli.streams import OutputError, drop_output, prepare
from broker.errors import QjbError
from broker.shown import on_one_line, url_visible

# Where each command is, and what it is for: so that --help loads none of them.
SERVE = {
    "up": ("roles:up", "Serve everything in one process."),
    "broker": ("roles:broker", "Serve as a broker, on Kafka."),
    "worker": ("roles:worker", "Serve as a worker, on Kafka."),
    "gateway": ("roles:gateway", "Serve as a gateway, on Kafka."),
    "health": ("roles:health", "Say whether a role lives."),
    "tenants": ("tenants:tenants", "Say who may use the service, and how much of it."),
    "tokens": ("tenants:tokens", "Make the tokens by which clients say who they are."),
    "parked": ("parked:parked", "Look after jobs that wait for an operator."),
    "sandbox-check": ("sandbox:check", "Try what the sandbox holds on this host."),
}
USE = {
    "demo": ("demo:demo", "Start everything and run a first job."),
    "submit": ("submitting:submit", "Submit a job."),
    "run-local": ("local:run_local", "Run a program of yours here, without a server."),
    "watch": ("jobs:watch", "Show what happens to a job."),
    "why": ("why:why", "Say why a job waits."),
    "result": ("jobs:result", "Print a job's final result."),
    "cancel": ("jobs:cancel", "Cancel a job."),
    "jobs": ("jobs:jobs", "List jobs."),
    "delete": ("forgetting:delete", "Delete jobs that have ended."),
    "prune": ("forgetting:prune", "Delete old jobs that have ended."),
    "sessions": ("sessions:sessions", "List, show, close, cancel sessions."),
    "programs": ("bringing:programs", "List, show, upload, update, delete programs."),
    "backends": ("backends:backends", "List backends, show, pause, drain one."),
}
COMMANDS = SERVE | USE


class Commands(click.Group):
    """Loads a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"broker.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := get_close_matches(args[0], COMMANDS, 1):
                ctx.fail(f"{error.message} Did you mean {near[0]}?")
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in (("Jobs", USE), ("Service", SERVE)):
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def _version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from importlib.metadata import version

        say(f"qjb {version('quantum-job-broker')}")
        ctx.exit()


@click.group(cls=Commands, epilog=TEXT, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version.",
)
def cli() -> None:
    """Run quantum programs as jobs, and watch them while they run.

    `qjb demo` shows it; `qjb up` serves; the other commands speak to a gateway, which they find by
    --url or QJB_URL.
    """


def main() -> None:
    """Run the command; an error is a sentence and an exit status, not a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is to be tidied up until a command runs
    prepare()
    sys.excepthook = _crashed
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    try:
        sys.exit(cli.main(prog_name="qjb", color=False if plain else None, standalone_mode=False))
    except QjbError as error:
        _complain(error)
        sys.exit(of_error(error))
    except click.ClickException as error:
        _complain_of_usage(error)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:  # nobody reads any more, as after `| head`
        drop_output()
        sys.exit(Exit.ERROR)
    except OutputError as error:
        drop_output()
        why = os.strerror(error.errno or 0).lower()
        say(f"Error: standard output can not be written: {why}.", err=True)
        sys.exit(Exit.ERROR)


def _complain(error: QjbError) -> None:
    found = [(v.path, v.message or v.rule) for v in error.violations]
    say(f"Error: {_sentence(_without_secrets(error.message))}", err=True)
    if len(found) != 1 or not error.message.endswith(found[0][1]):
        for path, text in found:
            say(f"  {on_one_line(path)}: {_indented(text)}", err=True)


def _complain_of_usage(error: click.ClickException) -> None:
    if isinstance(error, NoArgsIsHelpError):
        say(error.message, err=True)
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        command = error.ctx.command_path
        say(f"{error.ctx.get_usage()}\nTry '{command} --help' for help.\n", err=True)
    say(f"Error: {_sentence(_without_secrets(error.format_message()))}", err=True)


def _crashed(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Show a fault of ours, for who mends it."""
    say(_without_secrets("".join(format_exception(kind, error, traceback))), err=True, end=False)


def _without_secrets(text: str) -> str:
    """*text* without what is secret in a URL that was given, should somebody have quoted it whole."""
    given = [os.environ.get(name, "") for name in ("QJB_LOG", "QJB_BLOBS", "QJB_URL")]
    for argument in sys.argv[1:]:
        given += [part for part in (argument, argument.partition("=")[2]) if "://" in part]
    for url in given:
        text = text.replace(url, url_visible(url)) if url else text
    return text


def _sentence(text: str) -> str:
    return _indented(text if text.endswith((".", "!", "?")) else f"{text}.")


def _indented(text: str) -> str:
    """*text* with what follows its first line further in, so that it does not look like ours."""
    return text.rstrip().replace("\n", "\n  ")


if __name__ == "__main__":
    main()
