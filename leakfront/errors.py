"""The errors that users see, each one sentence that names the cause and what would be right."""

import errno

# a disk that takes nothing more: full, over quota, over the limit on a file's size, read-only
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
LONGEST = 1000  # characters of a sentence; what is longer loses its middle


class InputError(ValueError):
    """Input from outside (config, folder, name) is wrong. The command line prints it and exits with code 2.

    Names of files and values from outside may hold anything: what cannot be printed is shown as Python escapes it, so
    that the sentence stays on one line and no terminal obeys it.
    """

    def __init__(self, sentence: str) -> None:
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in sentence)
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 + 3 :]}")


class StageError(RuntimeError):
    """A stage that every cell needs cannot be made. The command line prints it and exits with code 1."""


class DivergedError(RuntimeError):
    """Training produced a value that is not finite. The cell becomes a row that says so; the run goes on."""

    def __init__(self, step: int) -> None:
        super().__init__(f"training diverged at step {step}")
        self.step = step

    def __reduce__(self) -> tuple[type["DivergedError"], tuple[int]]:
        return type(self), (self.step,)


def is_of_disk(error: BaseException) -> bool:
    """Whether the disk is what failed: the work can go on from where it is once there is room again."""
    return isinstance(error, OSError) and error.errno in _OF_DISK
