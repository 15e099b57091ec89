//! The services of the sample.

use super::{Part, Probe, ProbeKind, Rpo, Selector, Service, Term};
use crate::base::Span;
use std::{collections::BTreeMap, time::Duration};

/// `crm`, that clients see as a database at the balancer; `silent` has no probe.
pub(super) fn services() -> BTreeMap<String, Service> {
    let ask = ProbeKind::Postgres {
        address: "10.77.0.5:5432".into(),
        database: "billing".into(),
        user: "billing".into(),
        password: Some("billing-db".into()),
        query: None,
    };
    let crm = Service {
        name: "crm".into(),
        title: Some("CRM".into()),
        sites: vec!["dc1".into(), "dc2".into()],
        rpo: Rpo::Bytes(0),
        rto: Some(Span::secs(30)),
        probe: Some(Probe { ask, every: Span(Duration::from_millis(10)), within: Span::secs(1) }),
        fence: vec![],
        parts: vec![
            Part::Balancer {
                name: "front".into(),
                backend: "billing".into(),
                servers: Selector { text: "role=app".into(), terms: vec![Term::In("role".into(), vec!["app".into()])] },
            },
            Part::App { name: "billing".into(), both: false },
        ],
    };
    let silent = Service { name: "silent".into(), title: None, rto: None, probe: None, ..crm.clone() };
    [crm, silent].into_iter().map(|service| (service.name.clone(), service)).collect()
}
