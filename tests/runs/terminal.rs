//! svcops on a real terminal: a pseudoterminal that `script` makes, and a small model of what its screen then shows.

use crate::support::Project;
use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const INVENTORY: &str = "project: tty\nhosts:\n  app-1: {local: true}\n  app-2: {local: true}\n";
/// Two hosts wait for the file `go`.
const HOLD: &str = "svcops: 1\nname: hold\ntargets: all\nsteps:\n  - name: Долгая работа\n    on_failure: stop\n    \
                    command: 'until [ -e SITE/go ]; do sleep 0.02; done'\n  - name: After it\n    on_failure: stop\n    command: 'true'\n";

#[test]
fn bars_are_drawn_and_the_screen_is_left_clean() {
    for (columns, rows) in [(40, 12), (80, 24), (200, 50)] {
        let (project, terminal) = held("LANG=C.UTF-8 TERM=xterm", columns, rows);
        let screen = terminal.until("1 Долгая работа  2 under way");
        let bar = screen.lines().find(|line| line.contains("0/4 tasks")).unwrap();
        assert!(bar.starts_with('─'), "{screen}");
        assert!(screen.contains(" app-1 ") && screen.contains(" app-2 "), "a line a host:\n{screen}");
        go(&project);
        let (code, shown) = terminal.ends();
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("done: `hold`: 4 tasks changed on 2 hosts"), "{shown}");
        for left in ["under way", "─", "━", "/4 tasks"] {
            assert!(!shown.contains(left), "`{left}` is left at {columns} columns:\n{shown}");
        }
    }
}

#[test]
fn ctrl_c_stops_a_run_properly_and_leaves_the_screen_clean() {
    let (project, terminal) = held("LANG=C.UTF-8 TERM=xterm", 80, 24);
    terminal.until("2 under way");
    terminal.press("\u{3}");
    let screen = terminal.until("stopping after what is under way");
    assert_eq!(screen.matches("/4 tasks").count(), 1, "the frame is there once:\n{screen}");
    assert!(screen.contains("SIGINT: finishing what is under way"), "{screen}");
    go(&project);
    let (code, shown) = terminal.ends();
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("stopped: `hold`") && !shown.contains("/4 tasks"), "{shown}");
    assert_eq!(project.newest()["outcome"], "stopped");
}

#[test]
fn ctrl_c_is_an_answer_to_the_question_whether_to_begin() {
    let project = Project::new(INVENTORY);
    project.file("runbooks/mark.yaml", "svcops: 1\nname: mark\ntargets: all\nsteps:\n  - command: touch marked\n");
    let terminal = Terminal::of(&project, "LANG=C.UTF-8 TERM=xterm", "run mark", 80, 24);
    terminal.until("[y/N]");
    terminal.press("\u{3}");
    terminal.until("interrupted; nothing was touched");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 130, "{shown}");
    assert!(!shown.contains("finishing") && !shown.contains("SIGINT"), "nothing was under way:\n{shown}");
    assert_eq!(project.svcops(&["history", "list", "-o", "json"]).exits(0).json()["runs"], serde_json::json!([]));
}

#[test]
fn a_run_that_was_turned_back_says_that_a_resume_takes_the_rest_back() {
    let project = Project::new("project: tty\nhosts:\n  app-1: {local: true}\n");
    let site = project.root().to_string_lossy().into_owned();
    let runbook = "svcops: 1\nname: turn\ntargets: all\nsteps:\n  - name: First\n    file.copy: {content: x, dest: SITE/x}\n  \
                   - name: Long\n    command: 'until [ -e SITE/go ]; do sleep 0.02; done'\n    undo: [{command: 'true'}]\n";
    project.file("runbooks/turn.yaml", &runbook.replace("SITE", &site));
    let terminal = Terminal::of(&project, "LANG=C.UTF-8 TERM=xterm", "run turn --yes", 100, 30);
    terminal.until("2 Long");
    terminal.press("\u{3}");
    terminal.until("SIGINT: finishing what is under way");
    terminal.press("\u{3}");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("finishes taking it back") && !shown.contains("goes on"), "{shown}");
    let terminal = Terminal::of(&project, "LANG=C.UTF-8 TERM=xterm", "resume last", 100, 30);
    let screen = terminal.until("[y/N]");
    assert!(screen.contains("Finish taking back run"), "{screen}");
    terminal.press("y\n");
    terminal.ends();
    assert!(!project.root().join("x").exists());
}

#[test]
fn a_question_has_the_screen_for_itself_while_the_run_goes_on() {
    let project = Project::new(INVENTORY);
    let runbook =
        "svcops: 1\nname: ask\ntargets: all\nsteps:\n  - name: Look\n    pause: {ask: 'Is the line clear?'}\n";
    project.file("runbooks/ask.yaml", runbook);
    let terminal = Terminal::of(&project, "LANG=C.UTF-8 TERM=xterm", "run ask --yes", 80, 24);
    let screen = terminal.until("Is the line clear?");
    let after = screen.split("Is the line clear?").nth(1).unwrap();
    assert!(!after.contains("tasks") && !after.contains("under way"), "nothing is drawn below it:\n{screen}");
    terminal.press("yes\n");
    let (code, shown) = terminal.ends();
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn a_terminal_that_can_only_print_gets_lines_and_one_without_utf_8_gets_ascii() {
    let (project, terminal) = held("LANG=C.UTF-8 TERM=dumb", 80, 24);
    terminal.until("app-2: Долгая работа: run");
    go(&project);
    let raw = Arc::clone(&terminal.seen);
    let (code, shown) = terminal.ends();
    assert_eq!(code, 0, "{shown}");
    assert!(!raw.lock().unwrap().contains(&0x1b), "{shown}");

    let (project, terminal) = held("LANG=C TERM=xterm", 80, 24);
    let screen = terminal.until("/4 tasks");
    assert!(screen.lines().any(|line| line.starts_with("------")), "{screen}");
    assert!(screen.chars().all(|c| c.is_ascii() || c.is_alphabetic()), "{screen}");
    go(&project);
    assert_eq!(terminal.ends().0, 0);
}

/// `hold` under way on a terminal.
fn held(environment: &str, columns: usize, rows: usize) -> (Project, Terminal) {
    let project = Project::new(INVENTORY);
    let site = project.root().to_string_lossy().into_owned();
    project.file("runbooks/hold.yaml", &HOLD.replace("SITE", &site));
    let terminal = Terminal::of(&project, environment, "run hold --yes", columns, rows);
    (project, terminal)
}

fn go(project: &Project) {
    project.file("go", "");
}

/// svcops with a terminal of its own.
pub struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
    size: (usize, usize),
}

impl Terminal {
    pub fn of(project: &Project, environment: &str, words: &str, columns: usize, rows: usize) -> Self {
        let mut command = project.command(&[]);
        let svcops = command.get_program().to_string_lossy().into_owned();
        let line = format!("stty cols {columns} rows {rows}; exec env {environment} {svcops} {words}");
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(project.root()).env_clear();
        script.envs(
            command.get_envs().filter_map(|(name, value)| Some((name, value?))).filter(|(n, _)| *n != "NO_COLOR"),
        );
        command = script;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut output) = (child.stdin.take(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut some) {
                kept.lock().unwrap().extend_from_slice(&some[..n]);
            }
        });
        Self { child, keys, seen, reader, size: (columns, rows) }
    }
    /// The screen, once it shows this text.
    pub fn until(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "`{text}` never came:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    pub fn press(&self, keys: &str) {
        let mut to = self.keys.as_ref().unwrap();
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }
    /// The exit code, and all that the terminal shows at the end.
    pub fn ends(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        drop(self.keys.take());
        self.reader.join().unwrap();
        let shown = shown(&self.seen.lock().unwrap(), self.size);
        assert!(shown.ends_with('\n'), "the cursor is at the begin of a line:\n{shown}");
        (code, shown)
    }
    fn screen(&self) -> String {
        shown(&self.seen.lock().unwrap(), self.size)
    }
}

/// What a terminal of that size shows after these bytes, with what has scrolled away. It knows what svcops may send, and
/// nothing else: not to hide the cursor, for one, which a killed svcops could not show again.
fn shown(bytes: &[u8], (columns, rows): (usize, usize)) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => (row, column) = (row + 1, 0),
            '\u{8}' => column = column.saturating_sub(1),
            '\u{1b}' => {
                let Some('[') = chars.next() else { panic!("an unknown sequence: {text:?}") };
                let mut number = String::new();
                let end = chars.by_ref().find(|c| {
                    number.push(*c);
                    c.is_ascii_alphabetic()
                });
                number.pop();
                match end {
                    Some('m') | None => {}
                    Some('A') => {
                        let up: usize = number.parse().unwrap();
                        assert!(up < rows, "up by {up} on a screen of {rows} rows: {text:?}");
                        row = row.checked_sub(up).unwrap();
                    }
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    Some(other) => panic!("an unknown sequence: {number}{other} in {text:?}"),
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines: Vec<String> = lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect();
    lines.join("\n")
}
