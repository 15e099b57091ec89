//! The names that a service takes along: a key that its server does not take is found before the switch, and not behind the
//! point of no return.

use crate::{
    base::{Answer, Place, Read, RecordAsk, Span},
    inventory::{Inventory, Part, Service},
    issue::dns::values,
    transport::Transport,
};
use futures_util::future::join_all;

/// So long a server may take.
const WITHIN: Span = Span::secs(3);

/// The records of a service that could not be changed now, each in words with the reason. A server that does not answer is not
/// told of here: it may be back by then.
pub async fn unchangeable(transport: &dyn Transport, inventory: &Inventory, service: &Service) -> Vec<String> {
    let asks = service.parts.iter().filter_map(|part| {
        let Part::Record { zone, name, kind, .. } = part else { return None };
        let zone = inventory.zones.get(zone)?;
        let name = values::name_in(&zone.name, name).ok()?;
        Some(RecordAsk { at: zone.clone(), name, kind: *kind, within: WITHIN, may_change: false })
    });
    let one = async |ask: RecordAsk| {
        let proves = RecordAsk { may_change: true, ..ask.clone() };
        let name = ask.name.clone();
        let reads = [ask, proves].map(|ask| Place::HERE.at(Read::Record(ask)));
        let answers = transport.look(None, &reads).await.ok()?.answers;
        match answers.as_slice() {
            [Answer::Record(_), Answer::Bad(why)] => Some(format!("`{name}` cannot be changed: {why}")),
            _ => None,
        }
    };
    join_all(asks.map(one)).await.into_iter().flatten().collect()
}
