"""What is published: a wheel and a source archive that are complete, and the same wherever they are built."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import sagaledger

ROOT = Path(__file__).parents[2]
BUILT_AT = "1767225600"
PACKAGES = ("domain", "projections", "infrastructure")
NOT_DATA = ("__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache")


def build(builder: type[SdistBuilder] | type[WheelBuilder], tree: Path, folder: Path) -> Path:
    """Build an archive of a tree in a folder, as `pip` and `build` would."""
    [built] = builder(str(tree)).build(directory=str(folder), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of this tree."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCE_DATE_EPOCH", BUILT_AT)
        return build(SdistBuilder, ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOURCE_DATE_EPOCH", BUILT_AT)
        return build(WheelBuilder, ROOT, tmp_path_factory.mktemp("wheel"))


def files_below(*folders: str) -> Mapping[str, bytes]:
    """The files of some folders of the repository, by their paths."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and not path.is_symlink() and not set(path.parts) & set(NOT_DATA)
    }


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    """Its modules, SQL files and data, under the names by which they are imported."""
    expected = {f"sagaledger/{name}": content for name, content in files_below(*PACKAGES).items()}
    expected["sagaledger/__init__.py"] = (ROOT / "src/sagaledger/__init__.py").read_bytes()
    expected["sagaledger/py.typed"] = b""

    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]

    assert found == expected
    assert licences


def test_the_source_archive_has_documentation_examples_and_tests(sdist: Path) -> None:
    """And what a distributor builds and tests the package with."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    expected = {*files_below("deploy", "docs", "examples", "tests", "benchmarks", *PACKAGES)}
    expected |= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"}
    assert expected - names == set()


def test_the_wheel_built_from_the_source_archive_is_the_same(
    sdist: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte; and so is the source archive of the source archive."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", BUILT_AT)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    [tree] = (tmp_path / "tree").iterdir()

    again = build(WheelBuilder, tree, tmp_path / "built")

    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
    assert build(SdistBuilder, tree, tmp_path / "built").read_bytes() == sdist.read_bytes()


def test_the_wheel_runs_where_only_its_requirements_are_installed(wheel: Path, tmp_path: Path) -> None:
    """From another folder, without the repository; it knows its version (`make lowest` runs the demo so, too)."""
    environment = tmp_path / "environment"
    venv.create(environment)
    site = next((environment / "lib").iterdir()) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # noqa: S202  # our own
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")  # no .pth of that folder is read
    program = (
        "import sagaledger, sagaledger.infrastructure.cli.main as cli; print(sagaledger.__file__)\n"
        "print(sagaledger.__version__)\n"
        "raise SystemExit(cli.run(['version']))"
    )

    ran = subprocess.run(
        [environment / "bin" / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    file, number, first, *_ = ran.stdout.splitlines()
    assert Path(file).is_relative_to(site)
    assert number == wheel.name.split("-")[1]
    assert first == f"sagaledger {number}"


def test_the_version_is_that_of_the_installed_package() -> None:
    """`sagaledger.__version__` is read when it is asked for, and is not written in two places."""
    assert sagaledger.__version__ == version("sagaledger")
    assert "__version__" not in sagaledger.__all__


EXTRAS = ("broker", "schedules", "serve", "telemetry")
"""What a program can use beside the core."""


def test_each_lower_bound_is_tested_as_it_is_declared() -> None:
    """`tests/lowest.txt`, which `make lowest` installs, has the lowest version of each requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {
        re.sub(r"\[.*?\]", "", requirement.partition(";")[0]).replace(">=", "==").partition(",")[0]
        for requirement in chain(project["dependencies"], *(extras[name] for name in EXTRAS))
        if ">=" in requirement and "python_version" not in requirement
    }
    tested = {line.partition(" ")[0] for line in (ROOT / "tests/lowest.txt").read_text().splitlines() if "==" in line}

    assert {line for line in tested if not line.startswith("psycopg-binary")} == declared
