# syntax=docker/dockerfile:1
# One image with the operator, the workers and the command: non-root, no shell, a root that is never written.
#   docker build -t stockpipe:0.1.0 .        or    buildah build -t stockpipe:0.1.0 .

# rust-toolchain.toml says which version is used; the image's only saves a download.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libssl-dev make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bins \
      --package stockpipe-operator --package stockpipe-workers --package stockpipe \
 && install -D -t /root-fs/usr/bin /target/release/stockpipe-operator /target/release/stockpipe-worker /target/release/stockpipe

# What the binaries are linked to, and nothing else.
RUN ldd /root-fs/usr/bin/* | grep -o '/lib[^ ]*' | sort -u | xargs -I{} cp --parents --dereference {} /root-fs/ \
 && install -D -t /root-fs/etc/ssl/certs /etc/ssl/certs/ca-certificates.crt \
 && printf 'stockpipe:x:65532:65532::/:\n' >/root-fs/etc/passwd \
 && printf 'stockpipe:x:65532:\n' >/root-fs/etc/group \
 && install -d -m 1777 /root-fs/tmp

FROM scratch
COPY --from=build /root-fs/ /
# Debian's OpenSSL looks for certificates here.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/usr/bin/stockpipe"]
LABEL org.opencontainers.image.title=stockpipe \
      org.opencontainers.image.description="Market data through Kafka into a data lake, exactly once" \
      org.opencontainers.image.licenses=Apache-2.0
