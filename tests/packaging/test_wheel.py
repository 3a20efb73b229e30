"""What users install is the wheel: it is built and used with the checkout out of reach."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]

STORY = """
import pathlib, sys
import lucidic as lai
from lucidic.adapterkit import AdapterOptions, make_tracer

assert pathlib.Path(lai.__file__).is_relative_to(sys.argv[1]), lai.__file__
with lai.session("wheel") as session_id:
    make_tracer("kit", AdapterOptions()).start("run", "CHAIN").end()
assert lai.flush(30)
from lucidic._cli import main
main(["show", session_id])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True
    )
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_both_packages_and_nothing_else(wheel):
    """The wheel has two top-level packages, both typed."""
    names = zipfile.ZipFile(wheel).namelist()

    assert {"lucidic", "lucidic_adapters"} == {
        name.split("/")[0] for name in names if ".dist-info" not in name
    }
    assert {"lucidic/py.typed", "lucidic_adapters/py.typed"} <= set(names)
    assert {"lucidic/_view/_page/page.js", "lucidic/_view/_page/page.css"} <= set(names)


@pytest.mark.slow
def test_a_session_is_recorded_and_shown_from_the_wheel_alone(wheel, tmp_path):
    """A session made with the installed wheel is shown by its command line."""
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target), "LUCIDIC_HOME": str(tmp_path / "home")}

    ran = subprocess.run(
        [sys.executable, "-c", STORY, target],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
    assert "run" in ran.stdout
