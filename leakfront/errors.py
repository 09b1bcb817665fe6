"""The errors that users see: one sentence each, which names the cause and what would be right."""

import errno

# the disk refuses to write: full, over quota, over the limit on the size of a file, read-only
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
LONGEST = 1000  # characters of a sentence; the middle of a longer one is cut out


class InputError(ValueError):
    """Input from outside (config, folder, name) is wrong. The command line prints it and exits with code 2.

    It has one sentence, or several if one input has several faults (`sentences`). File names and values from outside
    may hold any character. Unprintable ones are escaped as in Python, so that a sentence stays on one line and sends no
    control codes to a terminal.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__(*map(_on_one_line, sentences))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences, one for each fault."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        return "; also: ".join(self.sentences)


def _on_one_line(sentence: str) -> str:
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in sentence)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 + 3 :]}"


class StageError(RuntimeError):
    """A stage that every cell needs has failed. The command line prints it and exits with code 1."""


class DivergedError(RuntimeError):
    """Training produced a value that is not finite. The cell gets a row that says so, and the run continues."""

    def __init__(self, step: int) -> None:
        super().__init__(f"training diverged at step {step}")
        self.step = step

    def __reduce__(self) -> tuple[type["DivergedError"], tuple[int]]:
        return type(self), (self.step,)


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk caused the error. The run can then resume once there is space again."""
    return isinstance(error, OSError) and error.errno in _OF_DISK
