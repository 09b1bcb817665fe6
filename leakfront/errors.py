"""The errors that users see, each one sentence that names the cause and what would be right."""


class InputError(ValueError):
    """Input from outside (config, folder, name) is wrong. The command line prints it and exits with code 2."""


class DivergedError(RuntimeError):
    """Training produced a value that is not finite. The cell becomes a row that says so; the run goes on."""

    def __init__(self, step: int) -> None:
        super().__init__(f"training diverged at step {step}")
        self.step = step

    def __reduce__(self) -> tuple[type["DivergedError"], tuple[int]]:
        return type(self), (self.step,)
