//! Fewer places for connections than hosts, fewer sessions than questions: held against both clients.

use super::{
    CLIENTS, Options, Outcome, Sshd, Stage, Transport, a_command_gets_its_input_arguments_environment_and_folder,
    reads_are_answered_in_their_order_and_each_for_itself, sh, the_same_act_is_carried_out_once, until,
};
use crate::base::HostName;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_share_one_place_for_a_connection_take_turns_and_both_act() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("") else { return };
        sshd.edit("config", |text| text.replace("Host target", "Host target other"));
        let stage = Stage::with(Some(sshd), client, Options { connections: 1, ..Options::default() });
        let other = HostName::new("other");
        let (act, change) = (stage.act().await, sh("echo here"));
        let carry = stage.carry(&act, change.clone());
        let look = stage.fleet.look(Some(&other), &[]);
        let (receipt, look) = tokio::join!(carry, look);
        assert_eq!((receipt.outcome, receipt.stdout.text.as_str()), (Outcome::Ok, "here\n"));
        assert!(!look.unwrap().boot.is_empty());
        // what it knew of the first it still knows when it has come back to it
        assert_eq!(stage.carry(&act, change).await.stdout.text, "here\n");
        let sshd = stage.sshd.as_ref().unwrap();
        until("one connection is left", || sshd.connections() == 1).await;
        stage.fleet.forget(&stage.run, &BTreeSet::from([stage.host.clone()])).await;
        stage.fleet.close().await;
        until("none is left", || sshd.connections() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_keep_the_contract_with_one_session_at_a_time() {
    for client in CLIENTS {
        let Some(sshd) = Sshd::start("MaxSessions 1") else { return };
        let stage = Stage::behind(sshd, client);
        a_command_gets_its_input_arguments_environment_and_folder(&stage).await;
        the_same_act_is_carried_out_once(&stage).await;
        reads_are_answered_in_their_order_and_each_for_itself(&stage).await;
        stage.fleet.close().await;
    }
}
