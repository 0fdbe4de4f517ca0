"""A plugin of buf that generates *_pb2_grpc.py with the gRPC generator inside grpcio-tools.

That generator has no program of its own, and buf knows no `protoc_builtin` for it. So this script speaks the protocol
of plugins (a CodeGeneratorRequest on stdin, a CodeGeneratorResponse on stdout) and hands the descriptors on to protoc.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet


def generate(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """One module for each file that declares a service. Raises CalledProcessError."""
    wanted = set(request.file_to_generate)
    services = sorted(file.name for file in request.proto_file if file.name in wanted and file.service)
    response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    if not services:
        return response
    with tempfile.TemporaryDirectory() as scratch:
        descriptors, target = Path(scratch, "descriptors"), Path(scratch, "made")
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        target.mkdir()
        options = [f"--descriptor_set_in={descriptors}", f"--grpc_python_out={target}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *services], check=True)
        for made in sorted(target.rglob("*.py")):
            response.file.add(name=made.relative_to(target).as_posix(), content=made.read_text())
    return response


if __name__ == "__main__":
    sys.stdout.buffer.write(generate(CodeGeneratorRequest.FromString(sys.stdin.buffer.read())).SerializeToString())
