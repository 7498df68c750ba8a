use super::*;
use crate::report::Kind;
use std::collections::VecDeque;

/// A guest that answers what a test wrote down.
struct Scripted {
    /// What is asked, and the answer.
    answers: VecDeque<(String, Answer)>,
}

impl Scripted {
    fn answer(&mut self, asked: &str) -> Result<Answer> {
        let (expected, answer) = self.answers.pop_front().expect("nothing more is asked");
        assert_eq!(asked, expected);
        Ok(answer)
    }
}

impl Guest for Scripted {
    fn boot(&mut self) -> Result<Answer> {
        self.answer("boot")
    }

    fn run(&mut self, command: &str, _: Duration) -> Result<Answer> {
        self.answer(command)
    }

    fn halt(&mut self) -> Result<Answer> {
        self.answer("halt")
    }
}

fn step(name: &str, each_boot: bool, output: Output) -> Step {
    Step {
        name: name.into(),
        order: name.into(),
        limit: Duration::from_secs(60),
        each_boot,
        output,
        script: String::new(),
    }
}

fn load_then(name: &str, output: Output) -> [Step; 2] {
    [step("load", true, Output::Text), step(name, false, output)]
}

/// The answer of a shell, which shows what was typed and prints this.
fn exits(asked: &str, status: i32, printed: &str) -> (String, Answer) {
    let console =
        format!("{asked} </dev/null; s=$?; echo ==end-1==$s==\n{printed}==end-1=={status}==\n# ");
    let end = End::Status { status };
    (
        asked.into(),
        Answer {
            end,
            qemu: None,
            console,
        },
    )
}

/// No answer: the guest is gone.
fn dies(asked: &str, end: End, printed: &str) -> (String, Answer) {
    let console = format!("{asked}\n{printed}");
    let qemu = Some("exit status 0".into());
    (asked.into(), Answer { end, qemu, console })
}

/// What is asked before the first step, and after each death.
fn comes_up() -> Vec<(String, Answer)> {
    vec![
        exits("boot", 0, ""),
        exits("unpack", 0, ""),
        exits("uname -r", 0, "8.99.5\n"),
        exits("sh steps/load.sh", 0, ""),
    ]
}

fn play(
    steps: &[Step],
    answers: impl IntoIterator<Item = Vec<(String, Answer)>>,
) -> Vec<(String, Outcome)> {
    let mut guest = Scripted {
        answers: answers.into_iter().flatten().collect(),
    };
    let plan = Plan {
        library: "ours",
        boot_limit: Duration::from_secs(60),
        unpack: "unpack".into(),
        steps,
    };
    let outcomes = run(&mut guest, &plan).unwrap();
    assert!(guest.answers.is_empty(), "not all was asked");
    let results = outcomes.results.into_iter();
    results
        .map(|result| (result.id(), result.outcome))
        .collect()
}

fn kinds(results: &[(String, Outcome)]) -> Vec<(&str, Kind)> {
    let results = results.iter();
    results
        .map(|(id, outcome)| (&**id, outcome.kind()))
        .collect()
}

const UP: [(&str, Kind); 3] = [
    ("guest:boot", Kind::Pass),
    ("guest:unpack", Kind::Pass),
    ("guest:load", Kind::Pass),
];

#[test]
fn a_step_ends_as_its_exit_status_says() {
    for (status, printed, outcome) in [
        (0, "done\n", Outcome::Pass),
        (1, "fail: cannot\n", Outcome::Fail("cannot".into())),
        (3, "huh\n", Outcome::Fail("exit status 3".into())),
        (77, "skip: no ssh\n", Outcome::Skip("no ssh".into())),
    ] {
        let work = vec![
            exits("sh steps/x.sh", status, printed),
            exits("halt", 0, ""),
        ];
        let results = play(&load_then("x", Output::Text), [comes_up(), work]);
        assert_eq!(results[3], ("guest:x".into(), outcome));
        assert_eq!(kinds(&results)[..3], UP);
    }
}

#[test]
fn after_a_panic_or_a_hang_the_guest_is_booted_for_the_next_step() {
    for (end, printed, kind) in [
        (End::Gone, "panic: crash test\n", Kind::Panic),
        (End::Limit, "waiting\n", Kind::Hang),
    ] {
        let steps = [
            step("load", true, Output::Text),
            step("plant", false, Output::Text),
            step("next", false, Output::Text),
        ];
        let results = play(
            &steps,
            [
                comes_up(),
                vec![dies("sh steps/plant.sh", end, printed)],
                comes_up(),
                vec![exits("sh steps/next.sh", 0, ""), exits("halt", 0, "")],
            ],
        );
        // What is done after each boot is reported once.
        assert_eq!(
            kinds(&results)[3..],
            [
                ("guest:plant", kind),
                ("guest:next", Kind::Pass),
                ("guest:halt", Kind::Pass)
            ]
        );
    }
}

#[test]
fn no_guest_is_booted_for_nothing_after_the_last_step() {
    let death = vec![dies("sh steps/x.sh", End::Gone, "panic: x\n")];
    let results = play(&load_then("x", Output::Text), [comes_up(), death]);
    assert_eq!(results[3], ("guest:x".into(), Outcome::Panic("x".into())));
}

#[test]
fn a_guest_that_does_not_boot_has_its_steps_skipped() {
    let silent = vec![dies("boot", End::Limit, "root device: \n")];
    let results = play(&load_then("x", Output::Text), [silent]);
    assert_eq!(
        kinds(&results),
        [
            ("guest:boot", Kind::Hang),
            ("guest:load", Kind::Skip),
            ("guest:x", Kind::Skip)
        ]
    );
}

#[test]
fn a_module_that_cannot_be_loaded_is_a_failure_and_stops_the_rest() {
    let mut up = comes_up();
    up.pop();
    up.push(exits(
        "sh steps/load.sh",
        1,
        "fail: cannot load ./puffs.kmod\n",
    ));
    let results = play(&load_then("x", Output::Text), [up]);
    assert_eq!(
        results[2].1,
        Outcome::Fail("cannot load ./puffs.kmod".into())
    );
    assert_eq!(
        kinds(&results)[2..],
        [("guest:load", Kind::Fail), ("guest:x", Kind::Skip)]
    );
}

#[test]
fn a_panic_is_the_test_s_that_was_under_way_and_the_rest_goes_on() {
    let first = "1..3\n# one\nok 1 - one\n# it's two\npanic: two\n";
    let results = play(
        &load_then("suite", Output::Tap),
        [
            comes_up(),
            vec![dies("sh steps/suite.sh", End::Gone, first)],
            comes_up(),
            vec![
                exits(
                    r"sh steps/suite.sh 'it'\''s two'",
                    0,
                    "1..1\nok 1 - three\n",
                ),
                exits("halt", 0, ""),
            ],
        ],
    );
    assert_eq!(
        kinds(&results)[3..],
        [
            ("suite:one", Kind::Pass),
            ("suite:it's two", Kind::Panic),
            ("suite:three", Kind::Pass),
            ("guest:suite", Kind::Pass),
            ("guest:halt", Kind::Pass),
        ]
    );
}

#[test]
fn a_panic_between_two_tests_is_the_first_one_s() {
    let first = "1..2\n# one\nnot ok 1 - one\n#   a mount is left\npanic: in unmount\n";
    let results = play(
        &load_then("suite", Output::Tap),
        [
            comes_up(),
            vec![dies("sh steps/suite.sh", End::Gone, first)],
            comes_up(),
            vec![
                exits("sh steps/suite.sh 'one'", 0, "1..1\n# two\nok 1 - two\n"),
                exits("halt", 0, ""),
            ],
        ],
    );
    assert_eq!(results[3].1, Outcome::Panic("in unmount".into()));
    assert_eq!(
        kinds(&results)[3..6],
        [
            ("suite:one", Kind::Panic),
            ("suite:two", Kind::Pass),
            ("guest:suite", Kind::Pass),
        ]
    );
}

#[test]
fn a_program_that_gives_up_goes_on_in_another_guest() {
    let first = "1..3\n# one\nnot ok 1 - one\nBail out! one left a mount that does not go\n";
    let results = play(
        &load_then("suite", Output::Tap),
        [
            comes_up(),
            vec![exits("sh steps/suite.sh", 1, first)],
            comes_up(),
            vec![
                exits("sh steps/suite.sh 'one'", 0, "1..1\nok 1 - two\n"),
                exits("halt", 0, ""),
            ],
        ],
    );
    assert_eq!(
        kinds(&results)[3..6],
        [
            ("suite:one", Kind::Fail),
            ("suite:two", Kind::Pass),
            ("guest:suite", Kind::Pass),
        ]
    );
    let work = vec![
        exits("sh steps/suite.sh", 1, "Bail out! no module\n"),
        exits("halt", 0, ""),
    ];
    let results = play(&load_then("suite", Output::Tap), [comes_up(), work]);
    assert_eq!(results[3].1, Outcome::Fail("no module".into()));
}

#[test]
fn a_test_that_fails_is_what_fails_and_not_its_program() {
    let printed = "1..2\nok 1 - one\nnot ok 2 - two\n";
    let work = vec![exits("sh steps/suite.sh", 1, printed), exits("halt", 0, "")];
    let results = play(&load_then("suite", Output::Tap), [comes_up(), work]);
    assert_eq!(
        kinds(&results)[3..5],
        [("suite:one", Kind::Pass), ("suite:two", Kind::Fail)]
    );
    assert_eq!(results[5], ("guest:suite".into(), Outcome::Pass));
}

#[test]
fn a_step_of_tests_that_runs_none_fails() {
    for output in [Output::Tap, Output::Results] {
        let nothing = vec![exits("sh steps/x.sh", 0, "./t_*: not found\n")];
        let results = play(
            &load_then("x", output),
            [comes_up(), nothing, vec![exits("halt", 0, "")]],
        );
        let none = Outcome::Fail("no test was run".into());
        assert_eq!(results[3], ("guest:x".into(), none));
    }
}

#[test]
fn a_program_that_ends_too_early_fails() {
    for (status, why) in [(0, "1 of 2 tests were run"), (134, "exit status 134")] {
        let work = vec![
            exits("sh steps/suite.sh", status, "1..2\nok 1 - one\n"),
            exits("halt", 0, ""),
        ];
        let results = play(&load_then("suite", Output::Tap), [comes_up(), work]);
        assert_eq!(
            results[4],
            ("guest:suite".into(), Outcome::Fail(why.into()))
        );
    }
}

#[test]
fn a_panic_while_the_guest_halts_is_one() {
    let work = vec![
        exits("sh steps/x.sh", 0, ""),
        (
            "halt".into(),
            Answer {
                end: End::Status { status: 0 },
                qemu: None,
                console: "halt\nsyncing disks... panic: vrelel: bad ref count\n\
                      panic: vrelel: bad ref count\n"
                    .into(),
            },
        ),
    ];
    let results = play(&load_then("x", Output::Text), [comes_up(), work]);
    assert_eq!(kinds(&results)[4], ("guest:halt", Kind::Panic));
}

#[test]
fn what_the_terminal_echoes_is_not_what_a_command_printed() {
    assert_eq!(
        printed("uname -r; echo ==end-1==$s==\n8.99.5\n==end-1==0==\n# "),
        "8.99.5\n"
    );
    assert_eq!(
        printed("x; echo ==end-1==$s==\nno newline==end-1==0==\n"),
        "no newline"
    );
    assert_eq!(printed(""), "");
}

#[test]
fn what_a_command_printed_is_behind_its_echo_wherever_that_is() {
    let console = "# sh x </dev/null; s=$?; echo ==end-2==$s==\none\ntwo\n==end-2==0==\n# ";
    assert_eq!(printed(console), "one\ntwo\n");
    assert_eq!(printed(&format!("\n{console}")), "one\ntwo\n");
    assert_eq!(printed("an echo\none\n"), "one\n");
}
