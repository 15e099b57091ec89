use crate::Site;

fn site() -> Site {
    let site = Site::new().host("web-1").host("web-2");
    let text = site.fill(
        "
        svcops: 1
        name: motd
        targets: role=web
        steps:
          - name: Приветствие
            file.copy: {content: Добро пожаловать, dest: \"SITE/motd\"}
          - name: Слепок
            command: tar cf /var/tmp/motd.tar SITE/motd
        ",
    );
    site.runbook(&text)
}

#[test]
fn a_rehearsal_tells_of_every_act_and_fault_where_it_ends_and_touches_nothing() {
    let site = site();
    insta::assert_snapshot!(site.svcops("rehearse motd -l web-1"), @r"
    exit: 0
    --- stdout
    ACT                                                                 A B C D E F G H I J K L
    1@web-1  write `[SITE]/motd`                         b b b b . b b b P d b P
    2@web-1  run `tar cf /var/tmp/motd.tar [SITE]/motd`  b . P P . P b P P d P .

    faults  A is refused · B says that it went well, and has no effect · C fails before its effect · D
            fails after its effect · E starts what never becomes healthy · F does not end in time · G
            contact is lost before it · H contact is lost after it · I its host is lost for good · J
            svcops is killed, and the run resumed · K svcops is killed, and the run rolled back · L
            fails after its effect, and so does its undo
    cells   b ends as before · d is overcome: done as planned · f goes forward after the point of no
            return · P needs a person, and names what for · X does harm, or leaves what nothing names ·
            . cannot come to pass

    P person  2@web-1 run `tar cf /var/tmp/motd.tar [SITE]/motd`: fails before its
              effect; fails after its effect, 2 points alike
        why     `Слепок` on `web-1`: exit 1
        stands  `Приветствие` on `web-1` stands
        stands  `Слепок` on `web-1` was not undone: a command cannot undo itself: the step needs `undo:`

    P person  2@web-1 run `tar cf /var/tmp/motd.tar [SITE]/motd`: does not end in time
        why     `Слепок` on `web-1`: it ran out of time after 5m and was ended
        stands  `Приветствие` on `web-1` stands
        stands  `Слепок` on `web-1` was not undone: a command cannot undo itself: the step needs `undo:`

    P person  2@web-1 run `tar cf /var/tmp/motd.tar [SITE]/motd`: contact is lost after
              it; svcops is killed, and the run rolled back, 2 points alike
        why     `Слепок` on `web-1`: the run turned back before it was done
        stands  `Приветствие` on `web-1` stands
        stands  `Слепок` on `web-1` was not undone: a command cannot undo itself: the step needs `undo:`

    P named   1@web-1 write `[SITE]/motd`: its host is lost for good
        why     `Приветствие` on `web-1`: could not reach `web-1`: it does not answer
        stands  nobody knows what became of `Приветствие` on `web-1`: could not reach `web-1`: it does
                not answer

    P named   1@web-1 write `[SITE]/motd`: fails after its effect, and so does its undo
        why     `Приветствие` on `web-1`: exit 1
        stands  `Приветствие` on `web-1` was not undone: exit 1

    P named   2@web-1 run `tar cf /var/tmp/motd.tar [SITE]/motd`: its host is lost for
              good
        why     `Слепок` on `web-1`: could not reach `web-1`: it does not answer
        stands  `Приветствие` on `web-1` stands
        stands  nobody knows what became of `Слепок` on `web-1`: could not reach `web-1`: it does not
                answer

    20 fault points: 10 end as before, 2 are overcome, 0 go forward after the point of no return, 8 need
    a person, 0 are wrong
    1 step without a model, taken to leave all else as it is: 2 Слепок
    not clean: 5 fault points must not end so
    ");
    assert!(!site.path("motd").exists());
    site.svcops("rehearse motd -l web-1 --require clean").exits(1);
    site.svcops("rehearse nothing --require clean").exits(2);
}

#[test]
fn what_was_observed_once_can_be_rehearsed_on_again_without_a_host() {
    let site = site();
    let seen = site.svcops("rehearse motd --save-facts facts.json -o json").exits(0);
    let again = site.svcops("rehearse motd --assume facts.json -o json").exits(0);
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (mut seen, again) = (value(&seen.stdout), value(&again.stdout));
    seen["assumed"] = again["assumed"].clone();
    assert_eq!(seen, again);
    assert_eq!((again["schema_version"].as_u64(), again["acts"].as_array().unwrap().len()), (Some(1), 4));
    assert_eq!(again["acts"][0]["endings"]["failed_after"]["verdict"], "before");
    let wrong = site.svcops("rehearse motd --assume svcops.yaml").exits(2);
    assert!(wrong.stderr.contains("these are no facts"), "{wrong}");
    let missing = site.svcops("rehearse motd --assume helthy").exits(2);
    assert!(missing.stderr.contains("`healthy`, `stopped`, or a file"), "{missing}");
}
