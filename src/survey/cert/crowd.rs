//! Thousands of places side by side, on all cores, in bounded memory.

use super::{Ask, Found, Target, Wish, here, hosts, judged};
use crate::{base::HostName, cert::Certificate, transport::fleet};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};

/// A handshake is some milliseconds of work. Who takes longer waits, and costs a file and some memory only.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is looked at in one go: an endpoint or a file, or all files of a host that one script reads.
enum Job {
    One(usize, Ask),
    Host(HostName, Vec<(usize, Ask)>),
}

impl Job {
    fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Host(_, asks) => asks.len(),
        }
    }

    async fn look(self, wish: &Wish) -> Vec<(usize, Found)> {
        match self {
            Self::One(at, ask) => vec![(at, here::look(&ask, wish).await)],
            Self::Host(host, asks) => hosts::look(&host, asks, wish).await,
        }
    }
}

pub(super) async fn look(asks: Vec<Ask>, wish: &Arc<Wish>, told: &(dyn Fn(usize, usize) + Sync)) -> Vec<Found> {
    let total = asks.len();
    let busy = Arc::new(Semaphore::new(wish.pace.busy.max(1)));
    let most = wish.pace.waiting.max(1);
    fleet::allow_files(most.min(total));
    let mut jobs = jobs(asks).into_iter().peekable();
    let mut room: JoinSet<(usize, Vec<(usize, Found)>)> = JoinSet::new();
    let (mut known, mut all, mut done) = (Known::default(), Vec::with_capacity(total), 0);
    loop {
        tokio::select! {
            biased;
            Some(ended) = room.join_next() => {
                // one that was ended from outside belongs to a look that nobody waits for any more
                if let Ok((asked, found)) = ended {
                    done += asked;
                    all.extend(found.into_iter().map(|(at, found)| (at, known.share(found))));
                    told(done, total);
                }
            }
            Ok(place) = Arc::clone(&busy).acquire_owned(), if jobs.peek().is_some() && room.len() < most => {
                if let Some(job) = jobs.next() {
                    room.spawn(at_work(job, Arc::clone(wish), place));
                }
            }
            else => break,
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let mut all: Vec<Found> = all.into_iter().map(|(_, found)| found).collect();
    judged::compare(&mut all);
    all
}

fn jobs(asks: Vec<Ask>) -> Vec<Job> {
    let (mut jobs, mut known) = (Vec::with_capacity(asks.len()), HashMap::new());
    for (at, ask) in asks.into_iter().enumerate() {
        let Target::OnHost(on) = &ask.target else {
            jobs.push(Job::One(at, ask));
            continue;
        };
        let host = on.host.clone();
        let place = *known.entry(host.clone()).or_insert_with(|| {
            jobs.push(Job::Host(host, Vec::new()));
            jobs.len() - 1
        });
        if let Some(Job::Host(_, asks)) = jobs.get_mut(place) {
            asks.push((at, ask));
        }
    }
    jobs
}

async fn at_work(job: Job, wish: Arc<Wish>, place: OwnedSemaphorePermit) -> (usize, Vec<(usize, Found)>) {
    let asked = job.len();
    let look = job.look(&wish);
    tokio::pin!(look);
    if wish.pace.waiting > wish.pace.busy {
        tokio::select! {
            found = &mut look => return (asked, found),
            () = time::sleep(PATIENCE) => drop(place),
        }
    }
    (asked, look.await)
}

/// Certificates that were seen before: one that thousands serve is kept once.
#[derive(Default)]
struct Known(HashMap<String, Certificate>);

impl Known {
    fn share(&mut self, mut found: Found) -> Found {
        for cert in found.cert.iter_mut().chain(&mut found.judgement.path) {
            *cert = self.0.entry(cert.fingerprint.clone()).or_insert_with(|| cert.clone()).clone();
        }
        found
    }
}
