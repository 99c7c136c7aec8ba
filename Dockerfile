# The sidecar alone: a build stage with Rust, and a run stage with nothing but the binary and the CA certificates.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p webhook-server

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/mcp-webhookd --shell /usr/sbin/nologin mcp-webhookd \
    && install -d -o mcp-webhookd -g mcp-webhookd -m 0700 /var/lib/mcp-webhookd
COPY --from=build /src/target/release/mcp-webhookd /usr/bin/mcp-webhookd
USER mcp-webhookd
ENV STATE_DIRECTORY=/var/lib/mcp-webhookd MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
VOLUME /var/lib/mcp-webhookd
EXPOSE 8170
STOPSIGNAL SIGTERM
# The first start after the machine's own reads the whole log; nobody is ill until then.
HEALTHCHECK --interval=10s --start-period=30m CMD ["mcp-webhookd", "status", "--json"]
ENTRYPOINT ["mcp-webhookd"]
CMD ["serve"]
