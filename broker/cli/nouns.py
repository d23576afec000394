"""Commands that are named after the things which they list."""

import click

_WITH_VALUE = (
    "--url",
    "--ca",
    "--token-file",
)  # options that may stand before the name of a command


class Nouns(click.Group):
    """`qjb NOUNS` lists them and `qjb NOUNS ONE` shows one; what else there is has names of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._named(args))

    def _named(self, args: list[str]) -> list[str]:
        """*args* with the name of the command first."""
        at = _first_word(args)
        if at is None:
            return args if {"-h", "--help"} & {*args} else ["list", *args]
        if args[at] in self.commands:
            return [args[at], *args[:at], *args[at + 1 :]]
        return ["show", *args]


def _first_word(args: list[str]) -> int | None:
    """Where the first of *args* stands that is neither an option nor the value of one."""
    is_value = False
    for at, arg in enumerate(args):
        if not is_value and not arg.startswith("-"):
            return at
        is_value = not is_value and arg in _WITH_VALUE
    return None
