"""A study's folder: `study.toml` states what is asked, and each arm's run has a folder of its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakfront.documents import load_toml
from leakfront.errors import InputError
from leakfront.harness.settings.sections import Config, parse_config
from leakfront.harness.store.artifacts import write_atomically
from leakfront.harness.store.durable import make_folder
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import resolved
from leakfront.harness.studies.load import ONLY_ARM, LoadedStudy, questions_of

FILE = "study.toml"


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study."""

    root: Path

    def arm(self, name: str) -> Layout:
        """The folder of an arm's run."""
        return Layout(self.root / name)

    @property
    def config(self) -> Config:
        """The settings in `study.toml`. Raises `InputError` if they cannot be read."""
        path = self.root / FILE
        try:
            config = parse_config(load_toml(path))
        except ValueError as error:
            raise InputError(
                f"{path} cannot be read ({error}); it must be the file that `leakfront run` wrote"
            ) from None
        if config.study is None:
            raise InputError(f"{path} has no section [study]; it must be the file that `leakfront run` wrote")
        questions_of(config.study)
        return config

    @property
    def arms(self) -> dict[str, Layout]:
        """The folders of the arms' runs by their names, whether they exist or not."""
        study = self.config.study
        assert study is not None
        return {name: self.arm(name) for name in study.arms or (ONLY_ARM,)}

    def write(self, study: LoadedStudy) -> None:
        """Write `study.toml`. Raises `InputError` if another question was asked of results that are there already."""
        import tomli_w

        if (self.root / FILE).exists():
            held = self.config
            seen = any((layout.root / "results.csv").exists() for layout in self.arms.values())
            if held.name != study.name or (seen and _asked(held) != _asked(study.config)):
                what = "holds another study" if held.name != study.name else "has results, and other questions"
                raise InputError(
                    f"{self.root} {what}; an expectation is written before its results, so give another folder with "
                    "--out, or delete it"
                )
        make_folder(self.root)
        write_atomically(self.root / FILE, tomli_w.dumps(resolved(study.config)))


def _asked(config: Config) -> list[dict[str, Any]]:
    assert config.study is not None
    return [question.model_dump(mode="json", exclude={"asks"}) for question in config.study.questions]


def studies_in(folder: Path) -> list[StudyFolder]:
    """The study in a folder, or those in its folders, by name; none if it holds no study."""
    if (folder / FILE).is_file():
        return [StudyFolder(folder)]
    return [StudyFolder(path.parent) for path in sorted(folder.glob(f"*/{FILE}"))]
