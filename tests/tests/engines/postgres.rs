//! The scenarios over Postgres.

use crate::{
    cluster::Kind::Postgres, exchange, operators, outages, recovery, refusals, sessions, tokens,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_once_and_in_order() {
    exchange::every_message_once_and_in_order(Postgres, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_dies() {
    outages::the_engine_dies(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut() {
    outages::a_link_is_cut(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_breaks_within_messages() {
    outages::a_link_breaks_within_messages(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_stalls() {
    outages::a_link_stalls(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_slow() {
    outages::a_link_is_slow(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_killed() {
    outages::a_node_is_killed(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_stopped() {
    outages::a_node_is_stopped(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_stopped_while_it_is_cut_off() {
    outages::a_node_is_stopped_while_it_is_cut_off(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_comes_late() {
    outages::the_engine_comes_late(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_full() {
    outages::the_queue_is_full(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut() {
    recovery::after_a_cut(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_old_node_knows() {
    recovery::before_the_old_node_knows(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_else_is() {
    recovery::where_nobody_else_is(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown() {
    recovery::after_a_shutdown(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill() {
    recovery::after_a_kill(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_engine_died() {
    recovery::after_the_engine_died(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: tests/run --soak"]
async fn after_minutes() {
    recovery::after_minutes(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_moves_sockets() {
    sessions::a_change_moves_sockets(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_sockets() {
    sessions::a_revocation_ends_sockets(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_ends_sockets() {
    sessions::a_deletion_ends_sockets(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_sockets() {
    sessions::a_logout_ends_sockets(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_nobody() {
    sessions::an_outage_ends_nobody(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_looked_at_again() {
    sessions::who_comes_back_is_looked_at_again(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    refusals::a_wrong_password(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there() {
    refusals::nobody_there(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there() {
    refusals::a_database_that_is_not_there().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_read_only() {
    refusals::a_database_that_is_read_only().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_edited() {
    operators::sessions_are_edited(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_stays() {
    operators::a_revocation_stays(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_added_to_a_store_that_comes_late() {
    operators::a_file_is_added_to_a_store_that_comes_late(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn required_and_there() {
    operators::required_and_there(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_a_command() {
    operators::nobody_answers_a_command(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_issued_and_revoked() {
    tokens::a_token_is_issued_and_revoked(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_a_token() {
    tokens::a_logout_ends_a_token(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_user_has_no_tokens() {
    tokens::a_revoked_user_has_no_tokens(Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_begin_at_once() {
    operators::many_begin_at_once(Postgres).await;
}
