//! `postgres.checkpoint`: what makes the outage shorter, before it begins.

use super::{Action, Next, Refusal, Target, Traits, Turn, change, cluster_on, find};
use crate::{
    base::{PgChange, PgDepth, PgFacts},
    resources::Cluster,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What `postgres.checkpoint` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct CheckpointArgs {
    /// The database, by its name in svcops.yaml
    database: String,
}

/// `postgres.checkpoint`.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::actions) struct Checkpoint {
    cluster: Cluster,
}

impl Action for Checkpoint {
    const NAME: &'static str = "postgres.checkpoint";
    const ABOUT: &'static str =
        "Has a PostgreSQL cluster write out what it holds in memory, so that a stop or a promotion soon after is quick";
    const EXAMPLE: &'static str = "- name: Little is left to write
  postgres.checkpoint: {database: crm-db}";
    const TRAITS: Traits = Traits { leaves_nothing: true, ..Traits::CHANGES };
    type Args = CheckpointArgs;
    type On = Cluster;
    fn bind(args: CheckpointArgs, target: &Target<'_>) -> Result<Self, Refusal> {
        let database = find(&args.database, target)?;
        Ok(Self { cluster: cluster_on(database, &target.host.name, PgDepth::Files, target) })
    }
    fn on(&self) -> &Cluster {
        &self.cluster
    }
    fn next(&self, turn: &Turn<PgFacts>) -> Next {
        // no look shows that it was done, and one that does not run has written everything
        if !turn.seen.running || !turn.did.is_empty() {
            return Next::Done { outputs: json!({"done": !turn.did.is_empty()}) };
        }
        Next::act(change(&self.cluster, PgChange::Checkpoint), Value::Null)
    }
    fn undo(&self, _: &Turn<PgFacts>) -> Next {
        Next::done()
    }
}
