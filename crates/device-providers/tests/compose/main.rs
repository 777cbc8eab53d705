//! The Compose provider on real engines. These tests need a Docker Engine, `docker compose`, the image
//! `gantry-hello:1` (scripts/build-hello-image.sh), Podman and a user to run engines without root
//! (scripts/set-up.sh test), and fail without them.

mod engines;
mod failures;
mod life;
mod refusals;
mod stage;
mod updates;
