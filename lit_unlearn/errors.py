"""What a user got wrong, as opposed to a bug of the program."""


class UserError(Exception):
    """One or more things a user can put right, each a single line.

    A line says what is wrong, the value, what is allowed and the next step. The command lines print the lines
    without a traceback and end with exit status 2; a bug keeps its traceback.

    Args:
        lines: one message, or several to be shown together.
    """

    def __init__(self, lines: str | list[str]):
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        super().__init__("\n".join(self.lines))


class RunFailed(Exception):  # noqa: N818  (it says what happened, not that something is an error)
    """A run that started well and could not go on (diverged, disk full): one line, exit status 1."""
