//! A run that is killed while a mail server has the whole mail and has not answered yet.

use crate::support::Project;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

const RUNBOOK: &str = "svcops: 1
name: tell
targets: a
steps:
  - name: Tell the duty
    notify.email: {to: duty@lab.test, subject: Готово, body: Всё в порядке}
";

#[test]
fn a_mail_that_may_have_been_taken_is_not_sent_again_by_a_resume() {
    let (address, mails) = silent();
    let mail = format!("mail: {{smtp: \"{address}\", from: svcops@lab.test}}");
    let world = Project::new(&format!("project: post\n{mail}\nhosts: {{a: {{local: true}}}}\n"));
    world.file("runbooks/tell.yaml", RUNBOOK);
    let running = world.stream(&["run", "runbooks/tell.yaml", "--yes"]);
    mails.recv().unwrap();
    running.kill();

    let run = world.newest()["run"].as_str().unwrap().to_owned();
    world.svcops(&["resume", &run, "--yes"]).exits(4).says("may have sent it");
    assert!(mails.try_recv().is_err(), "it was sent a second time");
    world.svcops(&["resume", &run, "--yes"]).exits(4);
    assert!(mails.try_recv().is_err(), "it was sent a second time");
}

/// A server that takes mails and never says that it did: how to reach it, and a word for every mail that it was sent.
fn silent() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (had, mails) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let had = had.clone();
            thread::spawn(move || serve(stream.unwrap(), &had));
        }
    });
    (address, mails)
}

fn serve(mut stream: TcpStream, had: &Sender<()>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"220 silent\r\n").unwrap();
    let mut text = false;
    for line in lines.map_while(Result::ok) {
        match line.as_str() {
            "." => had.send(()).unwrap(),
            _ if text => {}
            _ => {
                text = line == "DATA";
                stream.write_all(if text { b"354 go on\r\n" } else { b"250 silent\r\n" }).unwrap();
            }
        }
    }
}
