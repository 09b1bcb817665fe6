"""The errors that users see, each one sentence that names the cause and what would be right."""

import errno

# a disk that takes nothing more: full, over quota, over the limit on a file's size, read-only
_OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class InputError(ValueError):
    """Input from outside (config, folder, name) is wrong. The command line prints it and exits with code 2."""


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
