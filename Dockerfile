# The operator's image: from scratch, with the binary, the libraries that it is linked to, and the roots that TLS
# trusts. Nothing else is in it, no shell either.
#
#   docker build .                                        # compiles; one platform or, with buildx, several
#   make image                                            # from the binary that cargo built here, with buildah
#
# The builder is pinned by digest, of the index that has every platform; its version is that of rust-toolchain.toml.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082

FROM scratch AS config
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
# Where the source is; empty where nobody said.
ARG SOURCE=
LABEL org.opencontainers.image.title="port-aws-operator" \
      org.opencontainers.image.description="Connects AWS accounts to Port from Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# One heap for all threads takes less memory than one for each.
ENV MALLOC_ARENA_MAX=1
# By number, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/port-aws-operator"]
CMD ["run"]

# What hack/image.sh builds; it stands before the builder, which is then not needed.
FROM config AS prebuilt
COPY root/ /

# Each platform is compiled by a builder of that platform: with buildx on a node of it, or emulated, which is slow.
FROM ${RUST_IMAGE} AS build
# The list of contents that BuildKit attaches is made of this stage too: Cargo.lock is here, and not in the image.
ARG BUILDKIT_SBOM_SCAN_STAGE=true
WORKDIR /src
# The dependencies alone: this layer stays until a Cargo.toml or Cargo.lock changes. Cargo reads every member of the
# workspace; hack/check-dockerfile.sh checks that all are here.
COPY Cargo.toml Cargo.lock ./
COPY tests/support/Cargo.toml tests/support/Cargo.toml
COPY tests/simulation/Cargo.toml tests/simulation/Cargo.toml
RUN mkdir -p src benches tests/support/src tests/simulation/src \
    && touch src/lib.rs tests/support/src/lib.rs benches/plan.rs benches/queue.rs \
    && echo 'fn main() {}' | tee src/main.rs >tests/simulation/src/main.rs \
    && cargo build --locked --release --bin port-aws-operator
COPY src src
# Cargo goes by the time of a file, and these may be older than the empty ones.
RUN touch src/lib.rs src/main.rs && cargo build --locked --release --bin port-aws-operator
COPY hack/image-root.sh hack/image-root.sh
RUN hack/image-root.sh target/release/port-aws-operator /image/root

# The binary alone, as releases carry it: docker build --target binary --output type=local,dest=FOLDER .
FROM scratch AS binary
COPY --from=build /src/target/release/port-aws-operator /

FROM config AS image
COPY --from=build /image/root/ /
