"""The promises of SECURITY.md: nothing is executed, nothing is fetched unasked, nothing leaks."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
from pathlib import Path

import forked
from cli.inprocess import program
from PIL import Image

import caflow_cli

PACKAGE = Path(caflow_cli.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Modules that execute what they read, or start programs.
FORBIDDEN_MODULES = {
    "cloudpickle", "code", "commands", "ctypes", "dill", "joblib", "marshal", "pexpect", "pickle",
    "pty", "runpy", "shelve", "subprocess", "xmlrpc", "yaml",
}  # fmt: skip
ALLOWED_IMPORTS = {
    ("devices.py", "ctypes"),  # for `mallopt` of the C library that runs already
    ("images/read.py", "ctypes"),  # for libtiff's `TIFFSetErrorHandler`, in Pillow's extension
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.fork", "os.startfile",
    "torch.load", "torch.save", "torch.jit.load", "pandas.read_pickle", "tempfile.mktemp",
}  # fmt: skip
ALLOWED_CALLS = {
    # Tensors alone, of a file whose sha256 is pinned.
    ("evaluation/metrics/features.py", "torch.load"),
}
# What names of modules come from: a table of the package.
NAMES = {("lazy.py", "homes[name]")}
# The only modules that may import a client of the network.
NETWORK = {"requests", "httpx", "urllib", "http", "socket", "ftplib", "huggingface_hub", "aiohttp"}
NETWORK_PLACES = re.compile(r"hub/.*|model/pretrained\.py|model/card\.py|evaluation/features\.py")


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports(node: ast.AST) -> list[str]:
    """The modules of other packages that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module or ""]
    return []


def problems(source: str, name: str) -> list[str]:
    """Find forbidden calls in the source of a module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module in imports(node):
            top = module.partition(".")[0]
            if top in FORBIDDEN_MODULES and (name, top) not in ALLOWED_IMPORTS:
                found.append(f"imports {module}")
            harmless = module == "urllib.parse" or NETWORK_PLACES.fullmatch(name)
            if top in NETWORK and not harmless:
                found.append(f"imports {module}")
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        if (name, called) in ALLOWED_CALLS and "weights_only=True" in ast.unparse(node):
            continue
        if called in FORBIDDEN_CALLS or called.startswith(("os.exec", "os.spawn", "os.posix_sp")):
            found.append(f"calls {called}")
        if called == "importlib.import_module":
            argument = ast.unparse(node.args[0])
            if (name.rpartition("/")[2], argument) not in NAMES:
                found.append(f"imports what {argument} names")
        options = {k.arg: k.value for k in node.keywords}
        if called in ("np.load", "numpy.load") and (
            "allow_pickle" not in options or ast.unparse(options["allow_pickle"]) != "False"
        ):
            found.append(f"calls {called} with pickle")
        if "shell" in options:
            found.append(f"{called} takes a shell")
    return found


def test_nothing_executes_what_it_reads():
    found = {}
    for path in SOURCES:
        name = path.relative_to(PACKAGE).as_posix()
        if wrong := problems(path.read_text(encoding="utf-8"), name):
            found[name] = wrong
    assert found == {}


def test_the_check_sees_what_is_forbidden():
    for line in ("import pickle", "eval(text)", "np.load(path)", "run(text, shell=True)"):
        assert len(problems(line, "images/decode.py")) == 1
    for line in ("os.system(text)", "import urllib.request", "importlib.import_module(name)"):
        assert len(problems(line, "images/decode.py")) == 1


# Runs in a process of its own: hooks cannot be removed.
WATCHED = """
import json, pkgutil, sys
seen = []
FORBIDDEN = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind",
             "socket.sendto", "pickle.find_class", "os.system", "os.exec", "os.posix_spawn"}
def hook(event, arguments):
    if event in FORBIDDEN and watching:
        seen.append(event)
        raise PermissionError(event)
watching = True
sys.addaudithook(hook)
import caflow_cli
from caflow_cli.cli import main
codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["caflow", *arguments]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
    sys.stdout.flush()
for found in pkgutil.walk_packages(caflow_cli.__path__, "caflow_cli.") if len(codes) > 1 else ():
    if not found.name.endswith(("__main__", "app.page", "app.components")):  # they need an extra
        __import__(found.name)
print(json.dumps([codes, seen, "WATCHED"]))
"""


def watched(commands: list[list[str]], folder: Path, **environment: str) -> tuple[list, list, str]:
    """Exit codes of commands, what they did that was forbidden, and stderr."""
    env = {**os.environ, "HF_HOME": str(folder / "hf"), **environment}
    done = forked.run(WATCHED, json.dumps(commands), cwd=folder, env=env)
    said = done.stdout.decode()
    assert said.strip().endswith('"WATCHED"]'), done.stderr
    codes, seen, _ = json.loads(said.strip().splitlines()[-1])
    return codes, seen, done.stderr.decode()


def test_no_network_no_pickle_no_program_unless_asked(tmp_path, model_file):
    """Helping, listing, sampling; a model of the Hub, offline; and importing every module."""
    (tmp_path / "x.png").write_bytes((PACKAGE / "assets/examples/face.png").read_bytes())
    model = ["--model", str(model_file)]
    commands = [
        ["--help"],
        ["models", "list"],
        ["superres", "x.png", "-m", "1", *model],
        ["superres", "x.png", "-o", "y.png", "--model", "nobody/nothing"],
    ]
    codes, seen, said = watched(commands, tmp_path, HF_HUB_OFFLINE="1")
    assert codes == [0, 0, 0, 3], said
    assert seen == []


def test_what_is_watched_for_is_seen(tmp_path):
    """Online, such a model can only come from the network: there the hook stands in the way."""
    _, seen, said = watched(
        [["models", "pull", "nobody/nothing"]],
        tmp_path,
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    assert seen, said
    assert set(seen) <= {"socket.connect", "socket.getaddrinfo"}


def test_what_is_written_respects_the_umask_and_holds_no_local_path(tmp_path, model_file):
    secret, out = tmp_path / "secret-folder", tmp_path / "out"
    secret.mkdir()
    Image.new("RGB", (8, 8)).save(secret / "x.png")
    model = secret / "mine.safetensors"
    model.write_bytes(model_file.read_bytes())
    run = program(tmp_path)
    old = os.umask(0o027)
    try:
        for format in ("png", "webp", "jpg", "tiff"):
            done = run("superres", secret / "x.png", "-m", 2, "--model", model, "--format", format,
                       "-o", f"{out}/{format}/", "--grid", out / f"{format}-grid.png",
                       "--uncertainty", out / f"{format}-spread.png")  # fmt: skip
            assert done.returncode == 0, done.stderr
        done = run("models", "pack", model, "--id", "packed", "-o", out / "models")
        assert done.returncode == 0, done.stderr
    finally:
        os.umask(old)
    assert sum(path.is_file() for path in out.rglob("*")) == 4 + 8 + 2
    for path in out.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o750 if path.is_dir() else 0o640), path
        content = b"" if path.is_dir() else path.read_bytes()
        if path.is_file() and path.suffix not in (".safetensors", ".json"):
            image = Image.open(path)
            content += json.dumps([str(image.info), str(dict(image.getexif()))]).encode()
        for leak in ("secret-folder", str(tmp_path), str(Path.home()), "x.png"):
            assert leak.encode() not in content, (path, leak)
