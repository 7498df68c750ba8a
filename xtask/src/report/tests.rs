use super::*;
use quick_xml::{events::Event, Reader};

const LIST: &str = "
# What is wrong with which release.
fs/vfs/t_unpriv:puffs_*  fail  on=rump netbsd=8.*
    the owner is asked for
    what the group may do
fs/puffs/*  fail,hang  library=stock
    the C code loses a wakeup
";

fn result(suite: &str, name: &str, outcome: Outcome) -> TestResult {
    TestResult {
        suite: suite.into(),
        name: name.into(),
        outcome,
        seconds: 0.25,
        output: String::new(),
    }
}

fn run(library: &str, results: Vec<TestResult>) -> Run {
    Run {
        on: "rump".into(),
        netbsd: "8.99.5".into(),
        library: library.into(),
        results,
    }
}

fn report(runs: Vec<Run>) -> Report {
    Report {
        title: "A <title> & more".into(),
        facts: vec![("module".into(), "puffs.kmod".into())],
        runs,
    }
}

fn expected() -> Expected {
    Expected::parse(LIST).unwrap()
}

/// A report with a result of each sort, two of which are differences.
fn all_sorts() -> Report {
    let nasty = "\x1b[31m]]> <b>&\"\0\x07```\n| a | *b*\u{fffe}";
    let mut failed = result("fs/vfs/t_io", "a", Outcome::Fail(nasty.into()));
    failed.output = nasty.into();
    report(vec![
        run(
            "stock",
            vec![
                result("fs/puffs/t_basic", "mount", Outcome::Hang("".into())),
                result("fs/vfs/t_io", "a", Outcome::Pass),
            ],
        ),
        run(
            "ours",
            vec![
                result("fs/puffs/t_basic", "mount", Outcome::Pass),
                failed,
                result("fs/vfs/t_unpriv", "puffs_x", Outcome::Fail("no".into())),
                result("fs/vfs/t_unpriv", "puffs_y", Outcome::Pass),
                result("fs/psshfs", "inode_nos", Outcome::Skip("no #ssh".into())),
            ],
        ),
    ])
}

fn differences(runs: Vec<Run>) -> Vec<String> {
    let (report, list) = (report(runs), expected());
    let judged = report.judge(&list);
    let differences = judged.differences();
    differences
        .map(|verdict| format!("{} {}", verdict.run.library, verdict.result.id()))
        .collect()
}

#[test]
fn a_test_that_the_list_does_not_name_passes_or_is_skipped() {
    let results = vec![
        result("t", "good", Outcome::Pass),
        result("t", "left out", Outcome::Skip("no".into())),
        result("t", "bad", Outcome::Fail("no".into())),
        result("t", "worse", Outcome::Panic("no".into())),
        result("t", "stuck", Outcome::Hang("no".into())),
    ];
    assert_eq!(
        differences(vec![run("ours", results)]),
        ["ours t:bad", "ours t:worse", "ours t:stuck"]
    );
}

#[test]
fn a_test_that_is_better_than_the_list_says_is_a_difference() {
    let pass = || vec![result("fs/vfs/t_unpriv", "puffs_owner", Outcome::Pass)];
    assert_eq!(
        differences(vec![run("ours", pass())]),
        ["ours fs/vfs/t_unpriv:puffs_owner"]
    );
    let mut later = run("ours", pass());
    later.netbsd = "10.99.12".into();
    assert!(differences(vec![later]).is_empty());
}

#[test]
fn an_entry_counts_for_the_library_that_it_names() {
    let results = || {
        vec![
            result("fs/puffs/t_basic", "mount", Outcome::Hang("".into())),
            result("fs/puffs/t_basic", "root_fifo", Outcome::Fail("".into())),
            result("fs/puffs/t_basic", "root_reg", Outcome::Panic("".into())),
        ]
    };
    assert_eq!(
        differences(vec![run("stock", results())]),
        ["stock fs/puffs/t_basic:root_reg"]
    );
    assert_eq!(differences(vec![run("ours", results())]).len(), 3);
}

#[test]
fn the_first_entry_that_fits_counts() {
    let list = "a:b pass\n  first\na:* fail\n  second\n";
    let list = Expected::parse(list).unwrap();
    let run = run("ours", Vec::new());
    let reason = |name: &str| {
        let result = result("a", name, Outcome::Pass);
        list.find(&run, &result)
            .map(|entry| entry.reason().to_owned())
    };
    assert_eq!(reason("b").as_deref(), Some("first"));
    assert_eq!(reason("c").as_deref(), Some("second"));
}

#[test]
fn reasons_are_joined_and_must_be_given() {
    let run = run("ours", Vec::new());
    let result = result("fs/vfs/t_unpriv", "puffs_x", Outcome::Pass);
    let list = expected();
    let entry = list.find(&run, &result).unwrap();
    assert_eq!(
        entry.reason(),
        "the owner is asked for what the group may do"
    );
    assert_eq!(entry.line(), 3);
    for (wrong, why) in [
        ("a:b fail\n", "line 1: no reason"),
        ("  why\n", "line 1: a reason of nothing"),
        ("a:b\n  why\n", "what is expected?"),
        ("a:b broken\n  why\n", "there is no outcome \"broken\""),
        (
            "a:b fail because\n  why\n",
            "there is no condition \"because\"",
        ),
    ] {
        let error = Expected::parse(wrong).err().unwrap();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
}

#[test]
fn the_projects_own_list_can_be_read() {
    Expected::read(&paths::root().join("tests/expected.txt")).unwrap();
}

#[test]
fn tap_says_which_results_are_differences() {
    let (report, list) = (all_sorts(), expected());
    let text = report.judge(&list).tap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("ok ")).collect();
    assert!(text.starts_with("TAP version 14\n1..7\n"));
    let on = "(rump 8.99.5)";
    assert_eq!(
        lines,
        [
            &format!("not ok 1 - stock {on}: fs/puffs/t_basic:mount # TODO the C code loses a wakeup"),
            &format!("ok 2 - stock {on}: fs/vfs/t_io:a"),
            &format!("ok 3 - ours {on}: fs/puffs/t_basic:mount"),
            &format!("not ok 4 - ours {on}: fs/vfs/t_io:a"),
            &format!("not ok 5 - ours {on}: fs/vfs/t_unpriv:puffs_x # TODO the owner is asked for what the group may do"),
            &format!("not ok 6 - ours {on}: fs/vfs/t_unpriv:puffs_y"),
            &format!("ok 7 - ours {on}: fs/psshfs:inode_nos # SKIP no #ssh"),
        ]
    );
    assert!(text.contains("  message: \"fail: ]]> <b>&\\\"```\\n| a | *b*\"\n"));
    assert!(text.contains("  output: |2\n    ]]> <b>&\"```\n    | a | *b*\n  ...\n"));
    let control = |char: char| char.is_control() && char != '\n';
    assert!(!text.contains(control), "{text:?}");
}

#[test]
fn a_name_is_no_directive_of_taps() {
    let report = report(vec![run(
        "ours",
        vec![result("t", "a # SKIP \\", Outcome::Pass)],
    )]);
    let text = report.judge(&expected()).tap();
    assert!(
        text.contains("ok 1 - ours (rump 8.99.5): t:a \\# SKIP \\\\\n"),
        "{text}"
    );
}

/// The elements of a document with their attributes, and its text; fails if it
/// is not well formed.
fn parse(xml: &str) -> (Vec<String>, String) {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let (mut elements, mut text, mut depth) = (Vec::new(), String::new(), 0);
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                let mut element = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
                for attribute in start.attributes() {
                    let attribute = attribute.unwrap();
                    let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = attribute
                        .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                        .unwrap();
                    element += &format!(" {name}={value:?}");
                }
                elements.push(element);
                depth += i32::from(matches!(event, Event::Start(_)));
            }
            Event::End(_) => depth -= 1,
            Event::Text(part) => text += &part.decode().unwrap(),
            Event::GeneralRef(name) => {
                let escaped = format!("&{};", name.decode().unwrap());
                text += &quick_xml::escape::unescape(&escaped).unwrap();
            }
            Event::CData(part) => text += &part.decode().unwrap(),
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    (elements, text)
}

#[test]
fn junit_xml_is_well_formed_and_counts_differences_alone() {
    let (report, list) = (all_sorts(), expected());
    let xml = report.judge(&list).junit().unwrap();
    let (elements, text) = parse(&xml);
    let named = |name: &str| {
        let elements = elements.iter();
        let elements = elements.filter(move |element| element.split(' ').next() == Some(name));
        elements.cloned().collect::<Vec<_>>()
    };
    assert!(named("testsuites")[0].contains("failures=\"2\""), "{xml}");
    assert_eq!(named("testcase").len(), 7);
    assert_eq!(named("skipped").len(), 3);
    let failures = named("failure");
    assert_eq!(failures.len(), 2);
    assert!(failures[0].contains("type=\"fail\""), "{failures:?}");
    assert!(failures[1].contains("type=\"pass\""), "{failures:?}");
    assert!(
        failures[1].contains("the list (line 3) wants fail"),
        "{failures:?}"
    );
    let suites = named("testsuite");
    assert_eq!(suites.len(), 6);
    assert!(
        suites[0].contains("name=\"stock (rump 8.99.5): fs/puffs/t_basic\""),
        "{suites:?}"
    );
    assert!(text.contains("]]> <b>&\"```\n| a | *b*"), "{text:?}");
}

#[test]
fn a_panic_is_an_error_of_junits() {
    let report = report(vec![run(
        "ours",
        vec![result("t", "a", Outcome::Panic("x".into()))],
    )]);
    let (elements, _) = parse(&report.judge(&expected()).junit().unwrap());
    let error = |element: &&String| element.starts_with("error ");
    assert!(elements
        .iter()
        .find(error)
        .unwrap()
        .contains("type=\"panic\""));
}

#[test]
fn the_page_of_html_is_well_formed_and_shows_what_differs() {
    let (report, list) = (all_sorts(), expected());
    let page = report.judge(&list).html();
    let (elements, text) = parse(page.strip_prefix("<!DOCTYPE html>\n").unwrap());
    assert!(text.contains("2 results are not as expected."), "{text}");
    assert!(text.contains("A <title> & more"), "{text}");
    let bad = |element: &&String| element.as_str() == "td class=\"bad\"";
    // The two tests, the counts of their suites and of all.
    assert_eq!(elements.iter().filter(bad).count(), 5);
}

#[test]
fn the_page_of_markdown_keeps_its_tables_whole() {
    let (report, list) = (all_sorts(), expected());
    let page = report.judge(&list).markdown();
    assert!(
        page.contains("\n````text\n]]> <b>&\"```\n| a | *b*\n````\n"),
        "{page}"
    );
    assert!(
        page.contains("| fs/vfs/t\\_io | 1 pass | **1 fail** |"),
        "{page}"
    );
    assert!(
        page.contains("| ours (rump 8.99.5) | 1 | no \\#ssh |\n"),
        "{page}"
    );
    let known = "| fs/vfs/t\\_unpriv:puffs\\_\\* | ours (rump 8.99.5) | 1 pass, 1 fail | the owner";
    assert!(page.contains(known), "{page}");
    let rows = page.lines().filter(|line| line.starts_with("| fs/"));
    for row in rows {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!([4, 5].contains(&bars), "{row}");
    }
}

#[test]
fn the_table_puts_the_runs_side_by_side() {
    let (report, list) = (all_sorts(), expected());
    let table = report.judge(&list).table();
    let line = |test: &str| {
        let mut lines = table.lines();
        let line = lines.find(|line| line.starts_with(test)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("test"), "test stock ours");
    assert_eq!(
        line("fs/puffs/t_basic:mount"),
        "fs/puffs/t_basic:mount hang pass"
    );
    assert_eq!(
        line("fs/vfs/t_unpriv:puffs_x"),
        "fs/vfs/t_unpriv:puffs_x - fail [ours: no]"
    );
    assert_eq!(
        line("fs/vfs/t_unpriv:puffs_y"),
        "fs/vfs/t_unpriv:puffs_y - pass [ours: , NOT fail]"
    );
    assert!(
        table.ends_with("ours (rump 8.99.5): 2 pass, 2 fail, 1 skip\n"),
        "{table}"
    );
}
