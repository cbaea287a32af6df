# Short names for what CONTRIBUTING.md explains. `just` lists them.

_list:
    @just --list --unsorted

# install the package with all that tests and pages need
setup:
    pip install -e ".[dev,docs]"

# run tests: all, or `just test -n0 tests/layers -k actnorm`
test *arguments:
    pytest {{arguments}}

# try the page of `caflow app` in a browser
page:
    pip install -e ".[app]"
    pytest -m page --numprocesses=0

# check style and types
lint:
    ruff check .
    ruff format --check .
    mypy

# mend style where ruff can
format:
    ruff check --fix .
    ruff format .

# say where cards, manifest or tables differ from the records of figures
cards:
    python .ci/models check

# build the documentation into site/, refusing broken links
docs:
    mkdocs build --strict

# show the documentation while you write
serve:
    mkdocs serve

# print the reference of all commands and JSON lines
reference:
    python .ci/reference.py

# draw the images of the README from the bundled models
images:
    python docs/images/draw.py

# all that must hold before a change lands, in a fresh environment
ci:
    .ci/run

# build and check the files of a release
release:
    .ci/release
