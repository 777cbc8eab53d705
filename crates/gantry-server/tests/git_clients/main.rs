//! Every Git library follows a client's desired state, from the first revision to the day on which the
//! client is revoked. Each is driven by a small program in a folder of its own beside this file, which
//! `scripts/set-up.sh test` installs with the library. All of them have the same command line:
//!
//! ```text
//! follow list URL                 prints each reference as "COMMIT NAME"
//! follow clone URL FOLDER [DEPTH] clones with a working tree
//! follow fetch FOLDER             brings branch and working tree up to date
//! follow cat FOLDER PATH          prints a file of the branch, out of the objects
//! ```
//!
//! User name, token and CA are in `GANTRY_GIT_USERNAME`, `GANTRY_GIT_TOKEN` and `GANTRY_GIT_CA`. A program
//! exits with 3 when its library says that the server refused user name and token, else with 0 or 1.

mod follower;
mod story;

use follower::Follower;
use story::Story;

/// What all of them have to live through.
fn tell(follower: Follower) {
    let mut story = Story::begin(follower);
    story.a_client_that_was_just_let_in_clones();
    story.a_new_order_is_fetched_and_then_nothing_new();
    story.orders_of_a_long_time_are_one_fetch();
    story.a_whole_and_a_shallow_clone_are_the_same_at_their_tip();
    story.a_server_that_nobody_vouches_for_is_refused();
    story.a_wrong_token_is_refused();
    story.a_revoked_client_is_refused_at_once();
}

#[test]
fn libgit2_follows_the_desired_state() {
    tell(Follower::new("pygit2"));
}

#[test]
fn dulwich_follows_the_desired_state_in_protocol_version_2() {
    tell(Follower::new("dulwich").speaking("2"));
}

#[test]
fn dulwich_follows_the_desired_state_in_protocol_version_0() {
    tell(Follower::new("dulwich").speaking("0"));
}

#[test]
fn go_git_follows_the_desired_state() {
    tell(Follower::new("go-git"));
}

#[test]
fn jgit_follows_the_desired_state_in_protocol_version_2() {
    tell(Follower::new("jgit").speaking("2"));
}

#[test]
fn jgit_follows_the_desired_state_in_protocol_version_0() {
    tell(Follower::new("jgit").speaking("0"));
}

#[test]
fn isomorphic_git_follows_the_desired_state() {
    tell(Follower::new("isomorphic-git"));
}
