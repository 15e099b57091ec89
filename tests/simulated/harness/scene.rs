//! A scene: an inventory and a runbook, its plan, and its run without a fault; and the runs on it.

use super::{
    RUNS_EACH, check,
    dice::Dice,
    draw::{self, Blow, Land, Mishap},
    rig::{Cue, Ear, Happens, Rig, operator},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use svcops::{
    actions::CATALOG,
    base::{HaproxyApi, Hash, HostName, Invocation, Place, Read, Span, TaskId},
    engine::{
        EngineError, Order, Planned, lint, plan,
        rehearse::{Assumed, Wish},
        resolve, resume, rollback, run, script,
    },
    inventory,
    journal::{
        MemoryJournal,
        event::{End, Event, Summary},
        state::{RunState, TaskState},
    },
    runbook::{self, Project},
    transport::{Links, Simulated},
};

pub type Standing = BTreeMap<String, String>;

/// An inventory and a runbook, and what becomes of them if nothing goes wrong.
pub struct Scene {
    number: u64,
    land: Land,
    text: String,
    order: Order,
    planned: Planned,
    /// The world before, and all that is known of it.
    rig: Rig,
    pub begun: Standing,
    pub unbroken: Summary,
    /// What stands after the run without a fault.
    pub whole: Standing,
    pub harm: BTreeSet<String>,
    /// What runs then with another content than the one on its disk: the runbook's own doing.
    pub stale: BTreeSet<String>,
    acts: Vec<String>,
    events: usize,
    tasks: Vec<TaskId>,
    /// It has a parallel group.
    pub parallel: bool,
}

/// How a run went.
pub struct Told {
    /// As in [`Tally`](super::Tally).
    pub end: usize,
    /// Faults that took effect.
    pub faults: usize,
}

enum Way {
    Run,
    Resume,
    Back,
}

impl Scene {
    pub fn new(number: u64) -> Self {
        let mut dice = Dice::new(number);
        let land = Land::draw(&mut dice);
        let text = draw::runbook(&mut dice, &land);
        let sources = BTreeMap::from([(runbook::FILE.to_owned(), land.text.clone())]);
        let (inventory, faults) = inventory::parse(runbook::FILE, &sources);
        let inventory = inventory.unwrap_or_else(|| panic!("{faults:?}\n{}", land.text));
        let project = Project::of(PathBuf::from("/srv/random"), inventory, &lint::names(CATALOG));
        let runbook = project.runbook_text("runbooks/random.yaml", &format!("svcops: 1\nname: random\n{text}"));
        let runbook = runbook.unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
        let order = Order {
            runbook,
            params: BTreeMap::new(),
            limit: None,
            limited_by: None,
            parallel: dice.within(1, 8),
            operator: operator(),
            reason: None,
            ticket: None,
        };
        let world = Simulated::new(Links::of(&project.inventory));
        world.breaks(&Hash::of(b"bad"));
        if !land.is_blind() {
            world.sickens(&Hash::of(b"sick"));
        }
        let rig = Rig {
            wished: Arc::new(Assumed::wished(&project.inventory, Wish::Healthy)),
            inventory: Arc::new(project.inventory),
            world: Arc::new(world),
            journal: Arc::new(MemoryJournal::new()),
        };
        let planned = in_paused_time(async {
            look_around(&rig, &land).await;
            plan(&rig.stage(Ear::quiet()), &order).await
        });
        let planned = planned.unwrap_or_else(|why| panic!("no plan: {why}\n{}{text}", land.text));
        let begun = standing(&rig.world);
        let parallel = text.contains("parallel: true");
        let mut scene = Self {
            number,
            land,
            text,
            order,
            planned,
            rig,
            begun,
            unbroken: Summary { outcome: End::Done, exit_code: 0, why: None, changed: 0, owed: 0, stands: vec![] },
            whole: Standing::new(),
            harm: BTreeSet::new(),
            stale: BTreeSet::new(),
            acts: vec![],
            events: 0,
            tasks: vec![],
            parallel,
        };
        let (rig, end) = scene.live(&Mishap::NONE);
        scene.unbroken = end.unwrap_or_else(|| panic!("without a fault it ends before it begins"));
        scene.whole = standing(&rig.world);
        scene.harm = rig.world.harm().iter().map(|harm| scene.anywhere(harm)).collect();
        scene.stale = rig.world.stale();
        scene.acts = acts(&rig);
        scene.events = rig.records().len();
        scene.tasks = rig.state().tasks.into_iter().map(|task| task.began.task).collect();
        check::trace(&rig.records());
        check::batches(&scene.planned.script, &scene.text);
        check::end(&scene.unbroken, &scene, &rig, true);
        scene
    }

    /// A harm, whichever host it is done to: a runbook that does it to its first host, and turns back there without a fault,
    /// does it to the next one where the first is lost.
    fn anywhere(&self, harm: &str) -> String {
        self.land.hosts.iter().fold(harm.to_owned(), |harm, host| harm.replace(host.as_str(), "a host"))
    }

    /// A runbook that stops an app which takes traffic, and enables its server, does that harm itself wherever it comes so far.
    fn does_itself(&self, harm: &str) -> bool {
        let stopped = |name: &str| self.text.contains(&format!("app.stop: {{app: {name}}}"));
        let own = |app: &draw::App| stopped(&app.name) && harm.starts_with(&format!("`{}/", app.name));
        self.land.apps.iter().any(own)
    }

    /// A command that reloads an app and one that only says so look the same.
    pub fn cannot_see_reloads_of(&self, stale: &str) -> bool {
        let mut blind = self.land.apps.iter().filter(|app| app.commands && app.reloads);
        blind.any(|app| stale.starts_with(&format!("app `{}` ", app.name)))
    }
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.land.hosts.iter().map(String::as_str)
    }

    /// What stands where all is done, if it is.
    pub fn goal(&self) -> Option<&Standing> {
        (self.unbroken.outcome == End::Done).then_some(&self.whole)
    }

    fn mishap(&self, run: u64) -> Mishap {
        let mut dice = Dice::new(run ^ 0xfa17_0000_0000_0000);
        Mishap::draw(&mut dice, &self.land, [self.acts.len(), self.events, self.tasks.len()])
    }

    /// Plays the run of this number.
    pub fn play(&self, run: u64) -> Told {
        assert_eq!(run / RUNS_EACH, self.number);
        let (rig, told) = self.play_with(&self.mishap(run));
        // a store on the disk is a hundred times as slow as one in memory
        if run.is_multiple_of(4 * RUNS_EACH) {
            check::chain(&rig.records(), &*rig.journal);
        }
        told
    }

    fn play_with(&self, mishap: &Mishap) -> (Rig, Told) {
        let (rig, end) = self.live(mishap);
        let faults = rig.world.bitten();
        if rig.run().is_none() {
            return (rig, Told { end: 3, faults });
        }
        check::trace(&rig.records());
        for (act, times) in rig.world.effects() {
            assert_eq!(times, 1, "carried out more than once: {act:?}");
        }
        let harm: Vec<String> = rig
            .world
            .harm()
            .into_iter()
            .filter(|harm| !self.harm.contains(&self.anywhere(harm)))
            .filter(|harm| !self.land.cannot_see(harm) && !self.does_itself(harm))
            .collect();
        assert_eq!(harm, Vec::<String>::new(), "harm on the way");
        let Some(end) = end else {
            let differs = check::differ(&standing(&rig.world), &self.begun);
            assert!(differs.is_empty(), "nothing was touched, and something is otherwise: {differs:#?}");
            return (rig, Told { end: 3, faults });
        };
        check::end(&end, self, &rig, false);
        let told = rig.records().iter().any(|r| matches!(r.event, Event::Resolved { .. }));
        if mishap.only_dies() && !told {
            assert_eq!(end.outcome, self.unbroken.outcome, "a resumed run ends like an unbroken one");
            // Where a step of a parallel group fails, how far its siblings had come is a matter of time, and with it what is
            // taken back: a restart under way is restarted again, one that was over is not.
            if end.outcome == End::Done || !self.parallel {
                assert_eq!(check::differ(&standing(&rig.world), &self.whole), [] as [String; 0]);
                assert_eq!(acts(&rig), self.acts, "an act was lost or doubled");
            }
        }
        let end = match end.outcome {
            End::Done => 0,
            End::RolledBack => 1,
            _ => 2,
        };
        (rig, Told { end, faults })
    }

    /// A run with something wrong, made as small as it can be without its being right.
    pub fn tell(&self, run: u64) -> String {
        let mut mishap = self.mishap(run);
        let broken = |mishap: &Mishap| super::guarded(|| self.play_with(mishap)).err();
        // what else is wrong is another story
        let kind = |why: String| why.chars().take(30).collect::<String>();
        let of = broken(&mishap).map(kind);
        while let Some(less) = mishap.smaller().into_iter().find(|m| broken(m).map(kind) == of) {
            mishap = less;
        }
        let why = broken(&mishap).unwrap_or_default();
        let story = super::guarded(|| check::story(&self.live(&mishap).0.records())).unwrap_or_default();
        format!("at its smallest: {mishap:?}\n{why}\n{}{}\n{story}", self.land.text, self.text)
    }

    /// Runs to an end that nobody can go on from without a person.
    fn live(&self, mishap: &Mishap) -> (Rig, Option<Summary>) {
        let rig = Rig {
            inventory: Arc::clone(&self.rig.inventory),
            world: Arc::new((*self.rig.world).clone()),
            wished: Arc::clone(&self.rig.wished),
            journal: Arc::new(MemoryJournal::new()),
        };
        let end = in_paused_time(async {
            let work = self.go_on(&rig, mishap);
            tokio::time::timeout(Duration::from_secs(300 * 24 * 3600), work).await.expect("it comes to no end")
        });
        (rig, end)
    }

    async fn go_on(&self, rig: &Rig, mishap: &Mishap) -> Option<Summary> {
        rig.world.begin();
        for (act, fault) in &mishap.faults {
            rig.world.fault(*act, *fault);
        }
        if let Some((task, fault)) = mishap.undo.as_ref().and_then(|(n, fault)| Some((self.tasks.get(*n)?, fault))) {
            rig.world.fault_undo(task, *fault);
        }
        rig.world.silent_for(Duration::from_secs(if mishap.long { 4000 } else { 20 }));
        let mut kills = mishap.kills.iter();
        let mut kill = || match kills.next() {
            Some((n, true)) => rig.journal.kill_before(*n),
            Some((n, false)) => rig.journal.kill_after(*n),
            None => {}
        };
        kill();
        let mut end = self.go(rig, &Way::Run, cues(mishap, &rig.world)).await;
        for turn in 0..8 {
            rig.world.heal();
            end = match end {
                Ok(end) if matches!(end.outcome, End::Unknown | End::Stopped) && turn < 7 => {
                    if turn > 0 {
                        self.resolve_what_only_a_person_knows(rig).await;
                    }
                    self.go(rig, &Way::Resume, vec![]).await
                }
                Ok(end) => return Some(end),
                Err(EngineError::Journal(_)) => {
                    rig.journal.revive();
                    rig.world.restart_here();
                    rig.run()?;
                    if let Some(over) = rig.state().end {
                        Ok(over)
                    } else {
                        kill();
                        let way = if mishap.rollback && turn == 0 { Way::Back } else { Way::Resume };
                        self.go(rig, &way, vec![]).await
                    }
                }
                Err(EngineError::NoReturn { .. }) => self.go(rig, &Way::Resume, vec![]).await,
                Err(EngineError::NotSo { why, .. })
                    if why.contains("before it began") || why.contains("touched nothing") =>
                {
                    return None;
                }
                Err(other) => panic!("{other:?}"),
            };
        }
        panic!("it comes to no end: {end:?}")
    }

    /// A message of a process that died may have gone out or not, and so may a command on a host that has started anew: only
    /// a person finds out.
    async fn resolve_what_only_a_person_knows(&self, rig: &Rig) {
        let (state, Some(run)) = (rig.state(), rig.run()) else { return };
        let stage = rig.stage(Ear::quiet());
        let effects = rig.world.effects();
        let only_a_person = |task: &TaskState, why: &str| task.began.host == script::here() || why.contains("anew");
        for (task, way, _) in state.doubts().filter(|(task, _, why)| only_a_person(task, why)) {
            let (began, Some(leg)) = (&task.began, task.leg(way)) else { continue };
            // what is recorded as unknown was taken from the queue
            let number = if leg.queue.is_empty() { leg.number.saturating_sub(1) } else { leg.number };
            let done = effects.contains_key(&(began.task.clone(), way, number));
            match resolve(&stage, &run, &began.task, done, (&operator(), "went and looked")).await {
                Ok(()) | Err(EngineError::Journal(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    async fn go(&self, rig: &Rig, way: &Way, cues: Vec<Cue>) -> Result<Summary, EngineError> {
        let before = if matches!(way, Way::Run) { RunState::default() } else { rig.state() };
        let ear = Ear::new(before, cues);
        let (stage, stop, by) = (rig.stage(ear.clone()), ear.call(), operator());
        let ended = match (way, rig.run()) {
            (Way::Resume, Some(id)) => resume(&stage, &id, &by, &[], stop).await,
            (Way::Back, Some(id)) => rollback(&stage, &id, &by, "asked for", stop).await,
            _ => run(&stage, &self.order, &self.planned, None, stop).await,
        }?;
        assert!(*ear.state.lock().unwrap() == rig.state(), "what was lived is not what is folded");
        Ok(ended.summary)
    }
}

/// What happens at a moment of the first process.
fn cues(mishap: &Mishap, world: &Arc<Simulated>) -> Vec<Cue> {
    let mut cues: Vec<Cue> =
        mishap.stop.iter().map(|(after, level)| Cue { after: *after, what: Happens::Stop(*level) }).collect();
    if let Some((after, host, blow)) = &mishap.blow {
        let (world, host, blow) = (Arc::clone(world), HostName::new(host.as_str()), *blow);
        let what = Happens::Befalls(Box::new(move || match blow {
            Blow::Reboot => world.reboot(&host),
            Blow::Cut => world.cut(&host),
        }));
        cues.push(Cue { after: *after, what });
    }
    cues
}

/// What stands, but for what an app has loaded: a plain restart that went well is not taken back.
pub fn standing(world: &Simulated) -> Standing {
    let short = |is: String| is.split(", with `").next().unwrap_or_default().to_owned();
    world.standing().into_iter().map(|(what, is)| (what, short(is))).collect()
}

/// What had an effect, in an order of its own: hosts go side by side.
fn acts(rig: &Rig) -> Vec<String> {
    let mut acts: Vec<String> =
        rig.world.done().iter().map(|c| format!("{}: {}", c.at, svcops::ui::changes::words(&c.what))).collect();
    acts.sort();
    acts
}

/// Looks at all that a runbook can touch, so that the world before is known whole.
async fn look_around(rig: &Rig, land: &Land) {
    let stage = rig.stage(Ear::quiet());
    for host in &land.hosts {
        let host = HostName::new(host.as_str());
        let place = Place::on(&host);
        let mut reads: Vec<_> = draw::PATHS
            .iter()
            .chain(&draw::OWN)
            .map(|path| (*path).to_owned())
            .chain(land.apps.iter().filter_map(|app| app.config.clone()))
            .map(|path| place.at(Read::File { path }))
            .collect();
        for app in &land.apps {
            let name = &app.name;
            reads.push(place.at(if app.commands {
                Read::Run(Invocation::shell(format!("/opt/{name} status"), Span::secs(10)))
            } else {
                Read::Unit { name: format!("{name}.service") }
            }));
        }
        stage.transport.look(Some(&host), &reads).await.unwrap();
        let lb = HostName::new("lb");
        let server = |app: &draw::App| {
            let api = HaproxyApi::Socket("/run/haproxy/admin.sock".into());
            Place::on(&lb).at(Read::Server { api, backend: app.name.clone(), server: host.as_str().to_owned() })
        };
        let servers: Vec<_> = land.apps.iter().filter(|app| app.balanced).map(server).collect();
        stage.transport.look(Some(&lb), &servers).await.unwrap();
    }
}

fn in_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}
