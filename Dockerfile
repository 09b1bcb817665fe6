# Leakfront with the tested versions of its libraries, for CPUs.
#
#   docker build --build-arg TORCH_INDEX=URL -t leakfront .
#   docker run --rm -v "$PWD/runs:/home/leakfront/runs" leakfront run digits
#
# URL is PyTorch's index of CPU builds, as its installation page names it. Without it pip takes the usual Linux build,
# which brings several GB of CUDA packages; the build then stops.
FROM python:3.11-slim

ARG TORCH_INDEX
ENV OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/leakfront
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY leakfront ./leakfront
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt . \
    && if pip list --format=freeze | grep -i '^nvidia-'; then \
         echo "CUDA packages are in the image; set --build-arg TORCH_INDEX to PyTorch's index of CPU builds" >&2; \
         exit 1; \
       fi \
    && useradd --create-home leakfront

USER leakfront
WORKDIR /home/leakfront
RUN mkdir runs

ENTRYPOINT ["leakfront"]
CMD ["--help"]
