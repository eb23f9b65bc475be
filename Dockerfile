# syntax=docker/dockerfile:1
# A small image that runs one node as an ordinary user.
#
#   docker build -t talkoot .
#   docker run -d --name talkoot -v talkoot:/data -p 7470:7470/udp -p 7470:7470/tcp -p 7471:7471/udp talkoot
#   docker exec talkoot talkoot status
#
# Everything the node owns is in the volume /data; docs/OPERATING.md says what to back up.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /source
COPY . .
# aws-lc-sys and blake3 compile C; the compiler is in the image already.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --package talkoot \
    && cp target/release/talkoot /usr/local/bin/talkoot

FROM debian:bookworm-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin talkoot \
    && install -d -o talkoot -g talkoot -m 0700 /data /invites
COPY --from=build /usr/local/bin/talkoot /usr/local/bin/talkoot
COPY packaging/container.sh /usr/local/bin/talkoot-container
USER 10001:10001
ENV TALKOOT_HOME=/data
VOLUME /data
# libp2p (udp and tcp), data plane (udp), HTTP.
EXPOSE 7470/udp 7470/tcp 7471/udp 7472/tcp
STOPSIGNAL SIGTERM
# `status` ends with 3 while nothing answers; it does not wait on any computation.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["talkoot", "status", "--json"]
ENTRYPOINT ["talkoot"]
CMD ["up"]
